"""A map where people are: pictures, a file of its own, notebooks, a page, the Hub."""

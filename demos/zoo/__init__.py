"""How the generators that lie here were trained, and how good they are."""

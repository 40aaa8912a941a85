"""Many codes at once: encode pictures, place codes, sample a prior."""

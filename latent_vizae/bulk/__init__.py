"""Many codes at once: pictures to codes, codes to points, codes of a prior."""

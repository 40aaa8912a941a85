"""v's networks: the paper's activation, the two halves, their slopes, their first weights, and the nearest point."""

"""Training, whatever is trained: the loop, optimisers, checkpoints, progress."""

"""What people hand in, to checked tensors: arrays, files, streams, pictures."""

"""Training data: read, checked, split, generated, pinned."""

"""Training: from a plan and data to an adapter, and how fast a machine does it."""

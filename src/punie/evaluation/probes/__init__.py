"""What the self-checks ask an endpoint, one module for each question about it."""

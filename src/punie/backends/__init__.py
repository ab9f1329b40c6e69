"""What can serve a model: mlx, or a URL."""

"""Child programs: the only importers of mlx, mlx_lm and transformers."""

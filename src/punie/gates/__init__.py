"""Gate files: what must hold for a model to be let through."""

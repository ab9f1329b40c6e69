"""Datasets made by rules, from a seed."""

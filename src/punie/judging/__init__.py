"""Judges: a model that marks answers by a rubric, or says which of two is better."""

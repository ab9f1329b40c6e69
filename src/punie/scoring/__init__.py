"""From a completion to scores: pure functions."""

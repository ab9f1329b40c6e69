"""Statistics and summaries: pure functions."""

"""Entries on disk that review can verify."""

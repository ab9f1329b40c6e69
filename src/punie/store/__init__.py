"""Runs, results and faults in SQLite."""

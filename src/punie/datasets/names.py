"""Where the datasets of a project lie, and which names are taken."""

from pathlib import Path

FOLDER = Path("data")
"""In the project."""
SUITES = FOLDER / "suites"
"""Holds suites, no dataset."""
LABELS = FOLDER / "labels"
"""Holds what people said of answers, no dataset."""
RESERVED = (SUITES.name, LABELS.name)

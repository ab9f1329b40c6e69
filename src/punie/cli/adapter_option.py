"""What `--adapter NAME|FOLDER` was given, told apart."""

from pathlib import Path

import click


def as_path(_context: click.Context, _option: click.Parameter, text: str | None) -> Path | None:
    """What `--adapter` was given, where `./NAME` stays a path: `Path` alone would drop the dot."""
    if text is None:
        return None
    return Path(text).expanduser().absolute() if "/" in text or text in (".", "..") else Path(text)

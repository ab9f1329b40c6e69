"""Standard streams that take whatever is written, and on which nothing that is told commands."""

import io
import os
import re
import sys
from pathlib import Path

STDERR = 2
"""Its number, the highest of the three that a program begins with."""
_COMMAND = re.compile(r"([\r\n]\s*):(?=:)")


def open_streams() -> None:
    """Make stdout and stderr take whatever is written: closed ones swallow it.

    A character that the encoding does not have becomes a question mark. Where a workflow reads
    along, a line that begins as one of its commands is none.
    """
    # What is opened next would otherwise get a closed stream's number, and what is written there.
    while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the end
            setattr(sys, name, nowhere)
        elif os.environ.get("GITHUB_ACTIONS") and type(stream) is io.TextIOWrapper:
            stream.flush()
            setattr(sys, name, Uncommanding(stream))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


class Uncommanding(io.TextIOWrapper):
    """A stream of text no line of which begins with `::`, which a workflow's runner would obey.

    Names of categories, adapters and prompts are whatever somebody wrote. What is meant as a
    command is written as bytes.
    """

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="replace",
            line_buffering=stream.line_buffering,
        )
        self._stream = stream
        """Kept, since it would close what is below both."""
        self._fresh = True
        """Nothing but white space stands on the line so far."""

    def write(self, text: str, /) -> int:
        """Write text, with a zero-width space between two colons that begin a line."""
        before = "\n" if self._fresh else ""
        whole = before + text
        _, newline, line = whole.replace("\r", "\n").rpartition("\n")
        self._fresh = bool(newline) and not line.strip()
        super().write(_COMMAND.sub("\\1:\u200b", whole)[len(before) :])
        return len(text)

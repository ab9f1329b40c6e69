"""Single keys from a terminal, as somebody presses them."""

import os
import sys
from collections import deque
from types import TracebackType
from typing import Self

END = ""
"""What `read` gives once nobody is at the terminal any more, or after Ctrl-D."""
_ESCAPE = "\x1b"


class Keys:
    """Reads one key at a time while its context is open; then the terminal is as it was.

    What is typed ahead is kept. A sequence that a key such as an arrow sends is one key. Ctrl-C is
    an interrupt, as ever.
    """

    def __init__(self) -> None:
        self._descriptor = sys.stdin.fileno()
        self._waiting: deque[str] = deque()

    def __enter__(self) -> Self:
        import termios
        import tty

        self._before = termios.tcgetattr(self._descriptor)
        # Not the default, TCSAFLUSH, which would throw away what was typed ahead.
        tty.setcbreak(self._descriptor, termios.TCSADRAIN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        import termios

        termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def read(self) -> str:
        """The next key; END where there is none any more."""
        while not self._waiting:
            try:
                typed = os.read(self._descriptor, 1024).decode("utf-8", "replace")
            except OSError:  # the terminal was closed
                return END
            if not typed:
                return END
            self._waiting.extend(_split(typed))
        key = self._waiting.popleft()
        return END if key == "\x04" else key


def _split(typed: str) -> list[str]:
    """Keys of what was read at once: an arrow's three characters are one, `455` are three."""
    keys: list[str] = []
    rest = typed
    while rest:
        length = 1
        if rest[0] == _ESCAPE and rest[1:2] in ("[", "O"):
            length = 3
            while length < len(rest) and not ("@" <= rest[length - 1] <= "~"):
                length += 1
        keys.append(rest[:length])
        rest = rest[length:]
    return keys

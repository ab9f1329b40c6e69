"""What arranges itself by the width that it is given: a view of several parts."""

from collections.abc import Callable, Iterable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain


class Fitted:
    """Parts one below the other, made for the columns there are, but never wider than `widest`.

    A line longer than that is hard to follow, however wide the window.
    """

    def __init__(self, parts: Callable[[int], Iterable[RenderableType]], widest: int) -> None:
        self._parts = parts
        self._widest = widest

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, self._widest)
        for part in self._parts(width):
            yield Constrain(part, width)

"""A mark and what hangs beside it: lines that wrap stay clear of the mark, at any width."""

from rich.table import Table
from rich.text import Text

from punie.text import one_line

LINE = 600
"""Characters of one remark that are shown."""


def hanging(mark: str, words: str | Text, style: str = "") -> Table:
    """Set `words` beside a mark, which alone has the style; a `str` is folded and cut to `LINE`."""
    grid = Table.grid()
    told = words if isinstance(words, Text) else Text(one_line(words, LINE))
    grid.add_row(Text(mark, style=style), told)
    return grid

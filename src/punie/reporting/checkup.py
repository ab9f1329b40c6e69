"""The doctor's findings as a table for the terminal, from 40 columns up."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from punie.records.checkup import Checkup, State
from punie.text import visible

WIDE = 60
_SIGNS = {
    State.OK: ("✓ ok", "green"),
    State.NOTE: ("· note", "yellow"),
    State.PROBLEM: ("✗ problem", "bold red"),
}


def checkup_table(lines: Sequence[Checkup], *, width: int) -> RenderableType:
    """One row a thing: its state in a word and a sign, its name, what was found, what mends it.

    On a narrow terminal the finding stands under the name.
    """
    wide = width >= WIDE
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    if wide:
        table.add_column(style="bold", overflow="fold", max_width=20)
    table.add_column(overflow="fold")
    for line in lines:
        sign, style = _SIGNS[line.state]
        said = Text(visible(line.found))
        if line.mend:
            said.append(f"\n→ {visible(line.mend)}", style="cyan")
        name = Text(visible(line.name))
        if wide:
            table.add_row(Text(sign, style=style), name, said)
        else:
            name.stylize("bold")
            table.add_row(Text(sign, style=style), Text("\n").join([name, said]))
    return table


def summary_line(lines: Sequence[Checkup]) -> str:
    """How many things are not as they should be."""
    problems = sum(line.state is State.PROBLEM for line in lines)
    notes = sum(line.state is State.NOTE for line in lines)
    if problems:
        return f"{problems} problem{'' if problems == 1 else 's'}; what mends each stands beside it"
    return "no problem" + (f", {notes} note{'' if notes == 1 else 's'}" if notes else "")

"""Running a command in this process, as the program does: a second is saved each time."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from punie.cli.main import main


class Ended(NamedTuple):
    """What a command left."""

    code: int | str | None
    out: str
    err: str


Command = Callable[..., Ended]


def command_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """A function that runs `punie` with its arguments in a folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["punie", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(ended.value.code, said.out, said.err)

    return run

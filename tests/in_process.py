"""Running a command in this process, as the program does: a second is saved each time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from punie.cli.main import main


class Ended(NamedTuple):
    """What a command left."""

    code: int | str | None
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The data of its JSON envelope."""
        return json.loads(self.out)["data"]


Command = Callable[..., Ended]


def command_in(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *group: str,
) -> Command:
    """A function that runs `punie`, or one of its groups, with its arguments in a folder."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("NO_COLOR", "1")

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["punie", *group, *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(ended.value.code, said.out, said.err)

    return run

"""A Mac is kept awake; the program that does it is replaced by one that writes down its call."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from punie.cli.measure import measure
from punie.cli.wish import Wish
from punie.errors import EndpointError
from punie.serving.awake import awake
from punie.settings import Loaded, Settings


def test_a_mac_is_kept_awake_for_as_long_as_punie_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called, ended = tmp_path / "called", tmp_path / "ended"
    os.mkfifo(called)
    program = tmp_path / "caffeinate"
    program.write_text(
        f"#!/bin/sh\ntrap 'touch {ended}; exit' TERM\necho \"$@\" > {called}\n"
        "while true; do sleep 0.05; done\n"
    )
    program.chmod(0o700)
    monkeypatch.setattr("punie.serving.awake.ON_A_MAC", True)
    monkeypatch.setattr("punie.serving.awake.CAFFEINATE", program)
    with awake():
        assert called.read_text().split() == ["-i", "-w", str(os.getpid())]
    assert ended.exists()


def test_elsewhere_and_without_the_program_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "caffeinate"
    program.write_text("#!/bin/sh\ntouch called\n")
    program.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("punie.serving.awake.ON_A_MAC", False)
    monkeypatch.setattr("punie.serving.awake.CAFFEINATE", program)
    with awake():
        pass
    monkeypatch.setattr("punie.serving.awake.ON_A_MAC", True)
    monkeypatch.setattr("punie.serving.awake.CAFFEINATE", tmp_path / "missing")
    with awake():
        pass
    assert not (tmp_path / "called").exists()


def test_an_eval_keeps_the_mac_awake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that ends at once, because nobody answers."""
    program = tmp_path / "caffeinate"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setattr("punie.serving.awake.ON_A_MAC", True)
    monkeypatch.setattr("punie.serving.awake.CAFFEINATE", program)
    started: list[object] = []
    hearing = True

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if hearing and event == "subprocess.Popen":
            started.append(arguments[0])

    sys.addaudithook(hear)  # it stays for good, and hears nothing after this
    wish = Wish(suite="quick", url="http://127.0.0.1:9/v1", model="m", quiet=True)
    with pytest.raises(EndpointError):
        asyncio.run(measure(wish, Loaded(project=tmp_path, values=Settings(), origins={})))
    hearing = False
    assert str(program) in map(str, started)

"""A Mac is kept awake; the program that does it is replaced by one that writes down its call."""

import os
import sys
from pathlib import Path

import pytest

from punie.serving.awake import awake


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
    monkeypatch.setattr(sys, "platform", "darwin")
    with awake(program):
        assert called.read_text().split() == ["-i", "-w", str(os.getpid())]
    assert ended.exists()


def test_elsewhere_and_without_the_program_nothing_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "caffeinate"
    program.write_text("#!/bin/sh\ntouch called\n")
    program.chmod(0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    with awake(program):
        pass
    monkeypatch.setattr(sys, "platform", "darwin")
    with awake(tmp_path / "missing"):
        pass
    assert not (tmp_path / "called").exists()

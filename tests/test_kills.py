"""A run survives SIGKILL at any step and any moment: what was acknowledged is there, once."""

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).with_name("bench") / "bench_kills.py"


def test_nothing_acknowledged_is_lost_or_asked_twice() -> None:
    # In a process of its own, because it forks at every turn.
    argv = [sys.executable, str(BENCH), "--random", "25", "--steps", "once"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["wrong"] == []
    assert (figures["lost"], figures["twice"]) == (0, 0)
    assert figures["random_kills"] >= 25
    assert figures["step_kills"] > figures["steps"] >= 35
    assert {
        "COMMIT after PRAGMA user_version",
        "COMMIT after INSERT INTO runs",
        "COMMIT after INSERT INTO outcomes",
        "COMMIT after UPDATE runs",
        "acknowledged",
        "rename .punie/runs/ID/report.html",
        "rename out.jsonl",
        "open journal/.writing-ID/run.json",
    } <= set(figures["labels"])

"""Standard streams that are full, closed, or of another encoding."""

import json
import subprocess
from pathlib import Path

import pytest

from compared_project import a_suite, add_run
from test_eval_command import PUNIE, environment

COMPARE = ("compare", "base-run", "current-run")
FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "punie.toml").write_text("")
    suite = a_suite(60)
    add_run(folder, suite, "1" * 60, run_id="base-run", model="one")
    add_run(folder, suite, "1" * 40 + "0" * 20, run_id="current-run", model="other")
    return folder


@pytest.mark.skipif(not FULL.exists(), reason="a system without /dev/full")
@pytest.mark.parametrize("words", [(*COMPARE, "--json"), COMPARE])
def test_a_full_stdout_is_told_on_stderr(project: Path, words: tuple[str, ...]) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [*PUNIE, *words],
            cwd=project,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "error: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    ("words", "closed"),
    [("runs list", ">&-"), (" ".join(COMPARE), ">&-"), (" ".join(COMPARE), "<&- >&- 2>&-")],
)
def test_closed_streams_change_nothing(project: Path, words: str, closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" "$@" {words} {closed}', *PUNIE],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr


ENCODINGS = (
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)


@pytest.mark.parametrize("env", ENCODINGS)
@pytest.mark.parametrize("wanted", ["text", "markdown", "html", "json", "github"])
def test_any_encoding_will_do(project: Path, env: dict[str, str], wanted: str) -> None:
    done = subprocess.run(
        [*PUNIE, *COMPARE, "--format", wanted],
        cwd=project,
        env=environment(**env),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if wanted == "html":
        assert "\N{MINUS SIGN}33.3" in done.stdout.decode("utf-8")
    elif wanted == "json":
        assert json.loads(done.stdout.decode("utf-8"))["command"] == "compare"
    else:
        assert b"33.3" in done.stdout

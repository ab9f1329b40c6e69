"""Standard streams that are full, closed, or of another encoding."""

import io
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from compared_project import a_suite, add_run
from punie.cli.streams import Uncommanding
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


def test_in_a_workflow_only_what_is_meant_commands(tmp_path: Path) -> None:
    (tmp_path / "punie.toml").write_text("")
    suite = a_suite(60)
    renamed = tuple(
        replace(each, category=("::error::pwn", "  ::warning::w")[at % 2])
        for at, each in enumerate(suite.prompts)
    )
    suite = suite.model_copy(update={"prompts": renamed})
    add_run(tmp_path, suite, "1" * 60, run_id="base-run", model="one")
    add_run(tmp_path, suite, "1" * 40 + "0" * 20, run_id="current-run", model="::error::m")

    def commands(wanted: str) -> list[str]:
        done = subprocess.run(
            [*PUNIE, *COMPARE, "--format", wanted],
            cwd=tmp_path,
            env=environment(GITHUB_ACTIONS="true"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "::error::pwn" in done.stdout.replace("\u200b", "")
        lines = f"{done.stdout}\n{done.stderr}".splitlines()
        return [line for line in lines if line.strip().startswith("::")]

    assert commands("text") == []
    assert commands("markdown") == []
    told = commands("github")
    assert told
    assert all(line.startswith("::error title=punie ") for line in told)


@pytest.mark.parametrize(
    ("pieces", "written"),
    [
        (("::a",), ":\u200b:a"),
        (("a ::b\n::c\r\t::d",), "a ::b\n:\u200b:c\r\t:\u200b:d"),
        (("  ", "::a\n", "", "::b"), "  :\u200b:a\n:\u200b:b"),
        (("a", "::b"), "a::b"),
    ],
)
def test_colons_that_begin_a_line_are_parted(pieces: tuple[str, ...], written: str) -> None:
    kept = io.BytesIO()
    stream = Uncommanding(io.TextIOWrapper(kept, encoding="utf-8", newline=""))
    for each in pieces:
        assert stream.write(each) == len(each)
    stream.flush()
    assert kept.getvalue().decode() == written


def test_one_column_is_shown_as_forty(project: Path) -> None:
    shown = [
        subprocess.run(
            [*PUNIE, *COMPARE],
            cwd=project,
            env=environment(COLUMNS=columns),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout
        for columns in ("1", "40")
    ]
    assert shown[0] == shown[1]
    assert "33.3" in shown[0]


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

"""`punie report`: pages and pictures on disk."""

import json
import os
from pathlib import Path

import pytest

import journal_run
from in_process import Command, command_in
from punie.journal.entry import write_entry
from punie.records.run import Sources
from punie.records.suite import EvalSuite
from punie.store.runs import RunStore
from synthetic_comparison import a_comparison, paired_rows
from test_eval_command import punie as program


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose database has one run, `r1`."""
    (tmp_path / ".punie").mkdir()
    rows = journal_run.rows()
    run = journal_run.report(rows, sources=Sources(suite="builtin", model="smollm2-135m")).run
    suite = EvalSuite(name="baseline", prompts=tuple(journal_run.prompts()), hash=run.suite_hash)
    with RunStore(tmp_path) as store:
        store.create(run, suite)
        store.add(run.id, [outcome for _, outcome in rows])
        store.update(run)
    return tmp_path


@pytest.fixture
def punie(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return command_in(project, monkeypatch, capsys)


def test_the_charts_of_a_run_are_written_as_svg_and_png(project: Path, punie: Command):
    plain = punie("report", "r1")
    assert plain.out.splitlines() == [str(project / ".punie/runs/r1/report.html")]
    told = punie("report", "r1", "--svg", "pictures", "--png", "pictures")
    assert told.out.splitlines()[1:] == [
        "pictures/scores.svg",
        "pictures/latency.svg",
        "pictures/scores.png",
        "pictures/latency.png",
    ]
    assert (project / "pictures/scores.png").read_bytes().startswith(b"\x89PNG")
    told = punie("report", "r1", "--svg", "again", "--json")
    assert json.loads(told.out)["data"]["charts"] == ["again/scores.svg", "again/latency.svg"]


def test_the_browser_is_opened_only_where_that_is_asked_for(project: Path):
    folder = project / "bin"
    folder.mkdir()
    for name in ("xdg-open", "open"):
        (folder / name).write_text(f'#!/bin/sh\nprintf %s "$1" > "{project}/opened"\n')
        (folder / name).chmod(0o755)
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    assert program(project, "report", "r1", env=path).returncode == 0
    assert not (project / "opened").exists()
    done = program(project, "report", "r1", "--open", env=path)
    assert done.returncode == 0, done.stderr
    page = done.stdout.splitlines()[0]
    assert (project / "opened").read_text().removeprefix("file://") == page


def test_an_entry_has_the_same_charts_as_its_run(project: Path, punie: Command):
    rows = journal_run.rows()
    entry = write_entry(project, journal_run.report(rows), rows, goal="Goal", text=False)
    punie("report", str(entry / "run.json"), "--output", "page.html", "--svg", "pictures")
    for name in ("scores.svg", "latency.svg"):
        assert (project / "pictures" / name).read_bytes() == (entry / name).read_bytes()


def test_a_folder_that_cannot_be_written_is_named(project: Path, punie: Command):
    (project / "taken").write_text("")
    refused = punie("report", "r1", "--svg", "taken")
    assert refused.code == 2
    assert "taken" in refused.err


@pytest.fixture
def two(project: Path) -> Path:
    """Two more runs of one suite, `20261121-0101-base` and `20261121-0152-k3f9`."""
    paired = paired_rows(30)
    comparison = a_comparison(paired)
    suite = EvalSuite(
        name="baseline",
        prompts=tuple(prompt for prompt, _, _ in paired),
        hash=comparison.base.suite_hash,
    )
    with RunStore(project) as store:
        for run, outcomes in (
            (comparison.base, [one for _, one, _ in paired]),
            (comparison.current, [other for _, _, other in paired]),
        ):
            store.create(run, suite)
            store.add(run.id, outcomes)
            store.update(run)
    return project


def test_two_runs_make_one_page_with_the_diff(two: Path, punie: Command):
    told = punie("report", "20261121-0101-base", "20261121-0152-k3f9", "--png", "pictures")
    assert told.code == 0, told.err
    page, *pictures = told.out.splitlines()
    assert page == str(two / ".punie/runs/20261121-0152-k3f9/report-20261121-0101-base.html")
    assert "pictures/differences.png" in pictures
    written = Path(page).read_text()
    assert "against smollm2-135m" in written
    assert 'data-status="fixed"' in written
    assert "How warm is it" not in written  # packed, so that the page stays small
    data = json.loads(
        punie("report", "20261121-0101", "20261121-0152", "--output", "two.html", "--json").out
    )["data"]
    assert (data["base"], data["run"]) == ("20261121-0101-base", "20261121-0152-k3f9")
    assert (two / "two.html").read_text() == written
    refused = punie("report", "r1", "20261121-0152-k3f9")
    assert refused.code == 2
    assert "prompt" in refused.err


def test_a_report_leaves_the_page_of_a_comparison_as_it_is(two: Path, punie: Command):
    ids = ("20261121-0101-base", "20261121-0152-k3f9")
    (two / "mine.yaml").write_text("guards:\n  - suite: baseline\n    margin_points: 5\n")
    assert punie("compare", *ids, "--gate", "mine.yaml").code != 2
    page = two / ".punie/runs" / ids[1] / f"against-{ids[0]}.html"
    compared = page.read_text()
    assert "Every bound of mine (mine.yaml)" in compared
    told = punie("report", *ids)
    assert told.code == 0
    assert page.read_text() == compared
    assert "Every bound of default" in Path(told.out.strip()).read_text()


def test_compare_writes_the_same_charts(two: Path, punie: Command):
    ids = ("20261121-0101-base", "20261121-0152-k3f9")
    punie("report", *ids, "--svg", "of-report")
    told = punie("compare", *ids, "--svg", "of-compare", "--png", "of-compare")
    assert "chart  of-compare/differences.svg" in told.err
    for drawn in (two / "of-report").iterdir():
        assert (two / "of-compare" / drawn.name).read_bytes() == drawn.read_bytes()
        assert (two / "of-compare" / drawn.name).with_suffix(".png").is_file()
    punie("compare", *ids, ids[1], "--svg", "of-three")
    assert {each.name for each in (two / "of-three").iterdir()} == {ids[1], "prompts.svg"}

"""`punie compare` on a real database."""

import json
from pathlib import Path
from typing import Any

import pytest

from compared_project import WRONG, a_suite, add_run
from in_process import Command, command_in
from punie.errors import EXIT_GATE, EXIT_INCONCLUSIVE, EXIT_OK, EXIT_USAGE
from punie.records.run import RunStatus
from punie.records.suite import Sampling
from punie.store.runs import RunStore

GAIN = ("0" * 60, "1" * 50 + "0" * 10)
LOSS = ("1" * 60, "1" * 40 + "0" * 20)
SAME = ("10" * 30, "10" * 30)
FEW = ("1100", "0110")
TWO = ("base-run", "current-run")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "punie.toml").write_text("")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


@pytest.fixture
def punie(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return command_in(project, monkeypatch, capsys)


def two(project: Path, marks: tuple[str, str], **current: Any) -> None:
    suite = a_suite(len(marks[0]))
    add_run(project, suite, marks[0], run_id=TWO[0])
    current.setdefault("model", "other")
    add_run(project, suite, marks[1], run_id=TWO[1], **current)


def found(punie: Command, *arguments: str) -> dict[str, Any]:
    ended = punie("compare", *arguments, "--json")
    return json.loads(ended.out)["data"]["compared"][0]


def test_a_clear_gain_is_better_and_every_number_can_be_counted(
    project: Path, punie: Command
) -> None:
    two(project, GAIN)
    ended = punie("compare", *TWO)
    assert ended.code == EXIT_OK
    assert "other against tiny on desk 1" in ended.out
    assert "better  +83.3" in ended.out
    assert "50 gained, 0 lost" in ended.out
    assert "Decision: deploy" in ended.out
    first = found(punie, *TWO)["comparisons"][0]
    assert first["score"]["value"] == pytest.approx(50 / 60)
    assert first["discordance"] == {
        "both": 0,
        "gained": 50,
        "lost": 0,
        "neither": 10,
        "p": pytest.approx(2 / 2**50),
    }
    assert first["buckets"] == {"fixed": 50, "still failing": 10}


@pytest.mark.parametrize(
    ("marks", "flags", "code"),
    [
        (GAIN, (), EXIT_OK),
        (LOSS, (), EXIT_OK),
        (FEW, (), EXIT_OK),
        (GAIN, ("--fail-on-regression",), EXIT_OK),
        (LOSS, ("--fail-on-regression",), EXIT_GATE),
        (FEW, ("--fail-on-regression",), EXIT_OK),
        (GAIN, ("--gate", "gates.yaml"), EXIT_OK),
        (LOSS, ("--gate", "gates.yaml"), EXIT_GATE),
        (FEW, ("--gate", "gates.yaml"), EXIT_INCONCLUSIVE),
    ],
)
def test_exit_codes(
    project: Path, punie: Command, marks: tuple[str, str], flags: tuple[str, ...], code: int
) -> None:
    (project / "gates.yaml").write_text("guards:\n  - suite: desk\n    margin_points: 5\n")
    two(project, marks)
    ended = punie("compare", *TWO, *flags)
    assert ended.code == code
    undecided = "too few prompts to tell whether this is a regression" in ended.err
    assert undecided == (marks is FEW and flags == ("--fail-on-regression",))


def test_an_adapter_that_is_merely_no_worse_is_no_success(project: Path, punie: Command) -> None:
    adapters = project / "adapters"
    assert not adapters.exists()
    two(project, ("10" * 200, "10" * 200), model="tiny", adapter="desk")
    compared = found(punie, *TWO)
    assert compared["comparisons"][0]["word"] == "no worse"
    assert compared["decision"]["action"] != "deploy"


def test_a_bound_that_no_answers_could_hold_is_said_first(project: Path, punie: Command) -> None:
    two(project, ("1" * 52, "1" * 52))
    text = "guards:\n  - suite: desk\n    floor_percent: 98\n"
    (project / "gates.yaml").write_text(text)
    ended = punie("compare", *TWO, "--gate", "gates.yaml")
    assert ended.code == EXIT_INCONCLUSIVE
    gate = ended.out[ended.out.index("Gate gates") :]
    assert gate.splitlines()[1].startswith("! ")
    assert "a floor of 98 % needs" in gate.splitlines()[1]
    assert "there are 52" in gate.splitlines()[1]


def test_the_page_lies_beside_the_report_and_shows_both_answers(
    project: Path, punie: Command
) -> None:
    two(project, GAIN)
    ended = punie("compare", *TWO)
    page = project / ".punie/runs/current-run/against-base-run.html"
    assert f"page  {page.relative_to(project)}" in ended.err
    content = page.read_text("utf-8")
    assert content.startswith("<!doctype html>")
    assert "desk-0000" in content


def test_a_page_that_cannot_be_written_keeps_no_verdict_back(project: Path, punie: Command) -> None:
    two(project, LOSS)
    (project / ".punie/runs/current-run/against-base-run.html").mkdir(parents=True)
    ended = punie("compare", *TWO, "--fail-on-regression")
    assert ended.code == EXIT_GATE
    assert "the page could not be written: " in ended.err
    assert "against-base-run.html: Is a directory" in ended.err
    assert "Gate default: fail" in ended.out
    told = json.loads(punie("compare", *TWO, "--json").out)["warnings"]
    assert any("the page could not be written" in line for line in told)


def test_no_line_about_a_file_is_told_twice(project: Path, punie: Command) -> None:
    two(project, GAIN)
    told = punie("compare", *TWO, TWO[1]).err.splitlines()
    assert told == ["page  .punie/runs/current-run/against-base-run.html"]


def test_an_entry_replaces_an_earlier_one(project: Path, punie: Command) -> None:
    two(project, GAIN)
    for more in ([], ["--supersedes", "2026"]):
        ended = punie("compare", *TWO, "--journal", "Which is better?", *more)
        assert ended.code == EXIT_OK
    first, second = sorted((project / "journal").rglob("entry.md"))
    if "supersedes: null" in second.read_text():
        first, second = second, first  # within one minute a name says nothing of the order
    assert f'supersedes: "{first.parent.name}"' in second.read_text()
    assert f"Replaces the entry `{first.parent.name}`" in second.read_text()
    assert "supersedes: null" in first.read_text()
    checked = punie("journal", "check")
    assert checked.code == EXIT_OK, checked.out


@pytest.mark.parametrize("suffix", ["md", "html", "json"])
def test_output_by_its_ending(project: Path, punie: Command, suffix: str) -> None:
    two(project, GAIN)
    path = project / f"out/verdict.{suffix}"
    assert punie("compare", *TWO, "--output", str(path)).code == EXIT_OK
    content = path.read_text("utf-8")
    starts = {"md": "## other against tiny", "html": "<!doctype html>", "json": "{"}
    assert content.startswith(starts[suffix])
    formats = {"md": "markdown", "html": "html", "json": None}
    if wanted := formats[suffix]:
        assert punie("compare", *TWO, "--format", wanted).out == content
    else:
        assert json.loads(content)["compared"][0]["comparisons"][0]["word"] == "better"


def test_answers_enter_markdown_only_where_the_project_says_so(
    project: Path, punie: Command
) -> None:
    two(project, LOSS)
    assert WRONG not in punie("compare", *TWO, "--format", "markdown").out
    (project / "punie.toml").write_text("[journal]\ntext = true\n")
    shown = punie("compare", *TWO, "--format", "markdown").out
    assert WRONG in shown


def test_github_gets_its_summary_and_annotations(
    project: Path, punie: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    two(project, LOSS)
    summary = project / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    ended = punie("compare", *TWO, "--format", "github")
    assert summary.read_text("utf-8").startswith("before\n## other against tiny")
    assert ended.out.startswith("::error title=punie fail::desk: margin")
    assert "\n\n" not in ended.out
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert "## other against tiny" in punie("compare", *TWO, "--format", "github").out


def test_a_committed_run_json_is_a_baseline(project: Path, punie: Command) -> None:
    two(project, LOSS)
    entry = Path(punie("journal", "new", "The baseline.", "--run", TWO[0]).out.strip()).parent
    from_store = found(punie, *TWO)
    assert punie("runs", "delete", TWO[0], "--yes").code == EXIT_OK
    ended = punie("compare", str(entry / "run.json"), TWO[1], "--fail-on-regression", "--json")
    assert ended.code == EXIT_GATE
    from_file = json.loads(ended.out)["data"]["compared"][0]
    assert from_file["comparisons"][0]["score"] == from_store["comparisons"][0]["score"]
    assert from_file["gate"] == from_store["gate"]


def test_an_edited_run_json_is_refused(project: Path, punie: Command) -> None:
    two(project, LOSS)
    entry = Path(punie("journal", "new", "The loss.", "--run", TWO[1]).out.strip()).parent
    record = entry / "run.json"
    edited = record.read_text().replace('"passed":false', '"passed":true')
    edited = edited.replace('"score":0.0', '"score":1.0')
    record.write_text(edited)
    ended = punie("compare", TWO[0], str(record))
    assert ended.code == EXIT_USAGE
    assert "run.json" in ended.err
    assert "restore it from git" in ended.err


def test_three_runs_make_a_matrix(project: Path, punie: Command) -> None:
    two(project, GAIN)
    add_run(project, a_suite(60), "1" * 48 + "0" * 12, run_id="third-run", model="third")
    ended = punie("compare", *TWO, "third-run")
    assert ended.code == EXIT_OK
    assert "1 → 2" in ended.out
    assert "2 → 3" in ended.out
    assert "no clear difference" in ended.out
    data = json.loads(punie("compare", *TWO, "third-run", "--json").out)["data"]
    assert len(data["compared"]) == 2
    adjusted = [cell["adjusted"] for cell in data["matrix"]["cells"]]
    assert adjusted == [3 * 2 / 2**50, 2 * 2 / 2**48, 0.5]
    assert "## Each with each" in punie("compare", *TWO, "third-run", "--format", "markdown").out


def test_other_suites_are_refused_with_what_to_do(project: Path, punie: Command) -> None:
    add_run(project, a_suite(10), "1" * 10, run_id=TWO[0])
    add_run(project, a_suite(12), "1" * 12, run_id=TWO[1], model="other")
    ended = punie("compare", *TWO)
    assert ended.code == EXIT_USAGE
    assert "lacks 2 prompts" in ended.err
    assert "--intersect" in ended.err
    assert found(punie, *TWO, "--intersect")["comparisons"][0]["pairs"] == 10
    unpaired = found(punie, *TWO, "--unpaired")["comparisons"][0]
    assert (unpaired["how"], unpaired["pairs"]) == ("unpaired", 0)
    assert unpaired["score"]["value"] == 0


def test_a_half_finished_run_is_named_with_the_way_on(project: Path, punie: Command) -> None:
    suite = a_suite(10)
    add_run(project, suite, "1" * 10, run_id=TWO[0])
    add_run(project, suite, "1" * 4, run_id=TWO[1], model="m", status=RunStatus.INTERRUPTED)
    ended = punie("compare", *TWO)
    assert ended.code == EXIT_USAGE
    assert f"punie eval --resume {TWO[1]}" in ended.err


def test_faults_keep_a_verdict_open(project: Path, punie: Command) -> None:
    (project / "gates.yaml").write_text("guards:\n  - suite: desk\n    margin_points: 5\n")
    two(project, ("1" * 200, "1" * 200))
    assert punie("compare", *TWO, "--gate", "gates.yaml").code == EXIT_OK
    add_run(project, a_suite(200), "1" * 170 + "x" * 30, run_id="faulty", model="other")
    ended = punie("compare", TWO[0], "faulty", "--gate", "gates.yaml")
    assert ended.code == EXIT_INCONCLUSIVE
    assert "30 lost to faults" in ended.out


@pytest.mark.parametrize("marks", [("1", "1"), ("0", "1"), ("1111", "1111"), ("0000", "0000")])
def test_next_to_nothing_is_compared_without_a_made_up_number(
    project: Path, punie: Command, marks: tuple[str, str]
) -> None:
    two(project, marks)
    ended = punie("compare", *TWO, "--gate", "go-no-go")
    assert ended.code in {EXIT_INCONCLUSIVE, EXIT_GATE}
    assert "nan" not in ended.out.lower()
    assert ended.out.splitlines()[1].startswith("too few prompts to tell")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*TWO, "--intersect", "--unpaired"), "contradict"),
        ((*TWO, "--json", "--format", "html"), "contradict"),
        ((*TWO, "--output", "verdict.txt"), "no format has this ending"),
        ((*TWO, "last", "--output", "verdict.html"), "a page shows two runs"),
        ((*TWO, "last", "--format", "html"), "a page shows two runs"),
        ((*TWO, "last", "--journal", "goal"), "of two runs"),
        ((*TWO, "--gate", "nothing-like-it"), "there is no built-in gate"),
        ((*TWO, "--gate", "missing.yaml"), "missing.yaml"),
        ((TWO[0], "no-such-run"), "is no run here"),
        ((TWO[0], "missing.json"), "missing.json"),
        ((*TWO, "--journal", " "), "goal of a journal entry is empty"),
        ((*TWO, "--supersedes", "2026"), "--supersedes is for a journal entry"),
        ((*TWO, "--journal", "goal", "--supersedes", "2026"), "2026 is no entry of this journal"),
    ],
)
def test_bad_input_is_named(
    project: Path, punie: Command, arguments: tuple[str, ...], said: str
) -> None:
    two(project, SAME)
    ended = punie("compare", *arguments)
    assert ended.code == EXIT_USAGE
    assert said in ended.err + ended.out
    assert "Traceback" not in ended.err


def test_a_gate_that_names_a_missing_category_says_what_there_is(
    project: Path, punie: Command
) -> None:
    two(project, SAME)
    (project / "gates.yaml").write_text(
        "guards:\n  - suite: desk\n    slices:\n      - category: prose\n        margin_points: 5\n"
    )
    ended = punie("compare", *TWO, "--gate", "gates.yaml")
    assert ended.code == EXIT_USAGE
    assert "prose" in ended.err
    assert "sums" in ended.err


def test_guards_of_the_gate_are_found_or_named_with_their_command(
    project: Path, punie: Command
) -> None:
    (project / "gates.yaml").write_text(
        "targets:\n  - suite: desk\n    minimum_gain_points: 0\n"
        "guards:\n  - suite: manners\n    margin_points: 10\n"
    )
    two(project, GAIN)
    ended = punie("compare", *TWO, "--gate", "gates.yaml")
    assert ended.code == EXIT_INCONCLUSIVE
    assert "the gate's suite manners was not measured" in ended.out
    manners = a_suite(100, name="manners")
    add_run(project, manners, "1" * 100, run_id="base-manners")
    add_run(project, manners, "1" * 100, run_id="current-manners", model="other")
    ended = punie("compare", *TWO, "--gate", "gates.yaml")
    assert ended.code == EXIT_OK
    assert "On manners 1" in ended.out


def test_collected_interactions_are_a_baseline_of_their_own(project: Path, punie: Command) -> None:
    metrics = {
        "total_interactions": 302,
        "successful": 298,
        "failed": 4,
        "success_rate": 0.987,
        "duration_stats": {"avg_ms": 20062, "median_ms": 10896, "min_ms": 30, "max_ms": 138289},
    }
    (project / "baseline_metrics.json").write_text(json.dumps(metrics))
    two(project, LOSS)
    ended = punie("compare", "baseline_metrics.json", TWO[1], "--unpaired")
    assert ended.code == EXIT_OK
    assert "302 and 60 prompts, not the same ones" in ended.out
    assert "302 collected interactions, 20.1 s on average" in ended.out
    first = found(punie, "baseline_metrics.json", TWO[1], "--unpaired")["comparisons"][0]
    assert first["base_score"]["value"] == pytest.approx(298 / 302)
    assert first["word"] == "worse"
    refused = punie("compare", "baseline_metrics.json", TWO[1])
    assert refused.code == EXIT_USAGE
    assert "--unpaired" in refused.err


def test_very_many_collected_interactions_are_compared_at_once(
    project: Path, punie: Command
) -> None:
    metrics = {"total_interactions": 10**15, "success_rate": 0.5}
    (project / "many.json").write_text(json.dumps(metrics))
    two(project, LOSS)
    first = found(punie, "many.json", TWO[1], "--unpaired")["comparisons"][0]
    assert (first["base_score"]["value"], first["base_score"]["n"]) == (0.5, 10_000)
    told = punie("compare", "many.json", TWO[1], "--unpaired").out
    assert "10,000 of the same rate stand for all" in " ".join(told.split())


def test_other_suites_that_both_models_took_guard_an_adapter(project: Path, punie: Command) -> None:
    two(project, GAIN, model="tiny", adapter="desk")
    manners = a_suite(100, name="manners")
    add_run(project, manners, "1" * 100, run_id="base-manners")
    add_run(project, manners, "1" * 50 + "0" * 50, run_id="adapter-manners", adapter="desk")
    ended = punie("compare", *TWO, "--fail-on-regression")
    assert "On manners 1" in ended.out
    assert ended.code == EXIT_GATE


def test_a_suite_that_nobody_took_elsewhere_is_named_with_its_command(
    project: Path, punie: Command
) -> None:
    text = "targets:\n  - suite: desk\n    minimum_gain_points: 0\n"
    text += "guards:\n  - suite: others\n    margin_points: 5\n"
    (project / "gates.yaml").write_text(text)
    two(project, GAIN, model="tiny", adapter="desk")
    ended = punie("compare", *TWO, "--gate", "gates.yaml")
    assert ended.code == EXIT_INCONCLUSIVE
    told = " ".join(ended.out.split())
    assert "punie eval baseline --model tiny --adapter desk --against base" in told


def test_runs_that_were_asked_otherwise_guard_nothing(project: Path, punie: Command) -> None:
    two(project, GAIN, model="tiny", adapter="desk")
    manners = a_suite(100, name="manners")
    add_run(project, manners, "1" * 100, run_id="base-manners", repeats=2)
    add_run(project, manners, "1" * 50 + "0" * 50, run_id="adapter-manners", adapter="desk")
    ended = punie("compare", *TWO)
    assert ended.code == EXIT_OK
    assert "On manners 1" not in ended.out


def test_a_part_or_an_older_version_of_a_suite_guards_nothing(
    project: Path, punie: Command
) -> None:
    """The easy part was asked last, and an older version by both: the whole is what counts."""
    (project / "gates.yaml").write_text(
        "targets:\n  - suite: desk\n    minimum_gain_points: 0\n"
        "guards:\n  - suite: manners\n    margin_points: 5\n"
    )
    two(project, GAIN)
    manners = a_suite(100, name="manners")
    older = manners.model_copy(update={"hash": "older"})
    begun = "2026-11-20T10:00:00.000Z"
    for name, model in (("base", "tiny"), ("current", "other")):
        add_run(project, older, "1" * 100, run_id=f"{name}-old", model=model, created_at=begun)
    add_run(project, manners, "1" * 50 + "0" * 50, run_id="current-new", model="other")
    later, easy = "2026-11-22T10:00:00.000Z", {"category": "sums"}
    for name, model in (("base", "tiny"), ("current", "other")):
        heads: dict[str, Any] = {"model": model, "created_at": later, "selection": easy}
        add_run(project, manners, "1" * 50, run_id=f"{name}-easy", **heads)
    ended = punie("compare", *TWO, "--gate", "gates.yaml")
    assert ended.code == EXIT_INCONCLUSIVE
    assert "the gate's suite manners was not measured" in ended.out
    add_run(project, manners, "1" * 100, run_id="base-new")
    ended = punie("compare", *TWO, "--gate", "gates.yaml")
    assert ended.code == EXIT_GATE
    assert "On manners 1" in ended.out


def test_a_seed_that_was_not_sent_keeps_no_guard_away(project: Path, punie: Command) -> None:
    two(project, GAIN, model="tiny", adapter="desk")
    manners = a_suite(100, name="manners")
    add_run(project, manners, "1" * 100, run_id="base-manners")
    seeded = manners.model_copy(update={"sampling": Sampling(seed=7)})
    add_run(project, seeded, "1" * 50 + "0" * 50, run_id="adapter-manners", adapter="desk")
    ended = punie("compare", *TWO)
    assert "On manners 1" in ended.out


def test_a_model_with_another_tokenizer_guards_nothing(project: Path, punie: Command) -> None:
    two(project, GAIN, model="tiny", adapter="desk")
    manners = a_suite(100, name="manners")
    other = {"model_hash": "with another tokenizer"}
    theirs = add_run(project, manners, "1" * 100, run_id="base-manners")
    with RunStore(project) as store:
        store.update(theirs.model_copy(update={"model": theirs.model.model_copy(update=other)}))
    add_run(project, manners, "1" * 50 + "0" * 50, run_id="adapter-manners", adapter="desk")
    ended = punie("compare", *TWO)
    assert "On manners 1" not in ended.out


def test_the_warning_of_an_undecided_regression_stands_in_the_json_too(
    project: Path, punie: Command
) -> None:
    two(project, FEW)
    asked = ("compare", *TWO, "--fail-on-regression")
    said = "undecided: too few prompts to tell whether this is a regression"
    assert said in punie(*asked).err
    assert json.loads(punie(*asked, "--json").out)["warnings"] == [said]
    assert json.loads(punie("compare", *TWO, "--json").out)["warnings"] == []

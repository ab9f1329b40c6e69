"""`punie runs` and `punie report`: what a person reads of a run that is kept."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

import journal_run
from in_process import Command, command_in
from punie.cli.output import emit_json
from punie.journal.entry import write_entry
from punie.records.result import Completion, EvalFault, EvalResult, FaultKind
from punie.records.run import ModelIdentity, Sources
from punie.records.suite import EvalSuite
from punie.records.training import Quantization
from punie.store.runs import RunStore

HOSTILE = "=cmd \x1b[31m\x9b2J\u202e\r\n\0 end"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose database has one run, `r1`, with a fault, a later try and hostile text."""
    (tmp_path / ".punie").mkdir()
    rows = journal_run.rows(text=HOSTILE)
    sources = Sources(suite="builtin", model="smollm2-135m")
    run = journal_run.report(rows, sources=sources).run
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


def test_faults_stand_apart_from_wrong_answers(punie: Command):
    shown = punie("runs", "show").out
    machine, _, rest = shown.partition("Not passed")
    wrong, _, unmeasured = rest.partition("Not measured, neither right nor wrong")
    assert "server restarted: Killed (exit -9)" in machine
    assert "x timed out, 1 request: No answer within the time limit." in machine
    assert "punie eval --resume r1" in machine
    assert "weather  not called" in wrong
    assert "lost" not in wrong
    assert unmeasured.strip().startswith("lost  timed out: ")


def test_a_score_without_whole_categories_is_marked_in_the_list(project: Path, punie: Command):
    assert "*" not in punie("runs", "list").out
    rows = journal_run.rows()
    kept = [(prompt, outcome) for prompt, outcome in rows if prompt.category == "reasoning"]
    weather = next(prompt for prompt, _ in rows if prompt.id == "weather")
    lost = next(outcome for _, outcome in rows if isinstance(outcome, EvalFault))
    kept.append((weather, lost.model_copy(update={"prompt_id": "weather"})))
    run = journal_run.report(kept).run.model_copy(update={"id": "r2"})
    with RunStore(project) as store:
        store.create(run, EvalSuite(name="s", prompts=tuple(prompt for prompt, _ in kept)))
    shown = punie("runs", "list").out
    assert "%*" in shown.replace("]*", "%*")
    assert "* whole categories have no answer: punie runs show RUN" in shown


def test_the_list_says_the_backend_where_there_are_several(
    project: Path, punie: Command, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "80")
    assert " on " not in punie("runs", "list").out
    model = ModelIdentity(
        name=f"./{'long/' * 12}fused", backend="cuda", quantization=Quantization.FOUR_BIT
    )
    run = journal_run.report(journal_run.rows(), model=model, id="r2").run
    with RunStore(project) as store:
        store.create(run, EvalSuite(name="s", prompts=tuple(journal_run.prompts())))
    shown = [line for line in punie("runs", "list").out.splitlines() if line.strip()]
    assert {line.split()[0] for line in shown} >= {"run", "r1", "r2"}
    line = next(line for line in shown if "r2" in line)
    assert "/fused" in line
    assert "cuda NF4" in line


def test_json_carries_checks_incidents_retries_and_the_way_on(punie: Command):
    data = json.loads(punie("runs", "show", "--json").out)["data"]
    assert data["resume"] == "punie eval --resume r1"
    assert [each["name"] for each in data["run"]["checks"]["findings"]][:1] == ["seed"]
    assert data["run"]["incidents"][0]["kind"] == "server restarted"
    assert data["run"]["summary"]["retry_reasons"] == {"server died": 1}
    assert [each["failures"] for each in data["outcomes"] if each["failures"]] == [["server died"]]


def test_a_transcript_says_why_it_was_asked_again_and_how_it_ended(project: Path, punie: Command):
    assert "answer (asked again: server died)" in punie("runs", "show", "--prompt", "weather").out
    assert "ended by length" in punie("runs", "show", "--prompt", "hostile").out
    with RunStore(project) as store:
        prompt = journal_run.prompts()[0]
        stopped = Completion(finish_reason="content_filter", latency_s=1)
        again = EvalResult(prompt_id="sum", prompt_hash=prompt.hash, repeat=2, completion=stopped)
        store.add("r1", [again])
    shown = punie("runs", "show", "--prompt", "sum").out
    assert "ended by content_filter, stopped by the endpoint" in shown


@pytest.mark.parametrize("wanted", ["csv", "json", "jsonl"])
def test_an_export_to_a_terminal_does_nothing_to_it(punie: Command, wanted: str):
    shown = punie("runs", "export", "--format", wanted).out
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", shown)
    if wanted == "csv":
        cells = list(csv.DictReader(io.StringIO(shown, newline="")))
        answers = [each["answer"] for each in cells if each["prompt"] == "hostile"]
        assert answers == ["'=cmd ␛[31m⟨U+009B⟩2J⟨U+202E⟩\n␀ end"] * 2
        assert [each["asked_again"] for each in cells if each["asked_again"]] == ["server died"]
        return
    texts = shown.splitlines() if wanted == "jsonl" else [shown]
    assert any(json.dumps(HOSTILE)[1:-1] in json.dumps(json.loads(text)) for text in texts)


def test_json_is_printed_whatever_it_holds(capsys: pytest.CaptureFixture[str]):
    emit_json("x", {"text": f"{HOSTILE} \ud800"})
    shown = capsys.readouterr().out
    assert json.loads(shown)["data"]["text"] == f"{HOSTILE} \ud800"
    assert not set(shown) & {"\x1b", "\x9b", "\u202e", "\ud800"}


def test_hostile_faults_reach_the_terminal_as_text(project: Path, punie: Command):
    prompt = journal_run.prompts()[-1]
    fault = EvalFault(
        prompt_id="lost", prompt_hash=prompt.hash, kind=FaultKind.REFUSED, message=HOSTILE * 1000
    )
    with RunStore(project) as store:
        store.add("r1", [fault])
    for arguments in ((), ("--prompt", "lost")):
        shown = punie("runs", "show", *arguments).out
        assert "␛[31m⟨U+009B⟩2J⟨U+202E⟩" in shown
        assert not set(shown) & {"\x1b", "\x9b", "\u202e", "\0"}
        assert len(shown) < 10_000


@pytest.mark.parametrize("text", [False, True])
def test_a_report_is_written_from_an_entry(project: Path, punie: Command, *, text: bool):
    rows = journal_run.rows()
    entry = write_entry(project, journal_run.report(rows), rows, goal="Goal", text=text)
    refused = punie("report", str(entry / "run.json"))
    assert (refused.code, "--output" in refused.err) == (2, True)
    written = punie("report", str(entry / "run.json"), "--output", "page.html")
    assert written.out == "page.html\n"
    page = (project / "page.html").read_text()
    assert "Read with care: 1 request could not be measured" in page
    assert "--resume" not in page
    assert ("not kept: the database" in page) is not text
    assert sorted(path.name for path in entry.iterdir()) == [
        "entry.md",
        "latency.svg",
        "run.json",
        "scores.svg",
    ]


def test_a_record_that_is_none_is_refused_with_its_line(project: Path, punie: Command):
    (project / "run.json").write_text('{\n"a": }')
    refused = punie("report", "run.json", "--output", "page.html")
    assert refused.code == 2
    assert "run.json:2: no JSON" in refused.err
    assert punie("report", "none.json", "--output", "page.html").code == 2

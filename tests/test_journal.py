import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue
from syrupy.assertion import SnapshotAssertion

import journal_run
from punie.errors import InputError, JournalError, StoreError
from punie.journal import folder as folder_module
from punie.journal.check import JournalCheck, check_journal
from punie.journal.dataset import read_dataset
from punie.journal.document import BEGIN, END, front_matter, parse
from punie.journal.entry import results_of, sha256, write_entry
from punie.journal.folder import ENTRY_ID, entry_folders, slug
from punie.journal.reading import read_entry
from punie.journal.record import decode, encode
from punie.journal.replay import outcome_of, prompt_of
from punie.journal.table import render_journal
from punie.records.result import EvalFault, EvalResult
from punie.records.trust import Checks, Finding, Incident, IncidentKind, Level
from punie.reporting.privacy import Privacy

NOON = datetime(2026, 11, 21, 1, 52, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _numbered_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number the entries, so that their names are the same in each test run."""
    digits = chain.from_iterable(f"{n:04}" for n in count())

    def choice(_: str) -> str:
        return next(digits)

    monkeypatch.setattr(folder_module.secrets, "choice", choice)


def write(root: Path, goal: str = "First baseline", *, text: bool = False, **more: Any) -> Path:
    rows = journal_run.rows()
    fields: dict[str, Any] = {"now": NOON, **more}
    return write_entry(root, journal_run.report(rows), rows, goal=goal, text=text, **fields)


def lines_of(check: JournalCheck) -> list[str]:
    return [str(finding) for finding in check.findings]


@pytest.mark.parametrize("text", [False, True])
def test_what_is_written_checks_clean(tmp_path: Path, *, text: bool):
    entry = write(tmp_path, text=text)
    assert entry == tmp_path / "journal/2026/11/20261121-0152-first-baseline-0000"
    check = check_journal(tmp_path)
    assert check.findings == ()
    assert check.entries == (entry.name,)
    assert [warning.what for warning in check.warnings] == ["is missing: run punie journal render"]
    render_journal(tmp_path)
    check = check_journal(tmp_path, strict=True)
    assert (check.findings, check.warnings) == ((), ())


def test_an_entry_and_the_table_look_like_this(tmp_path: Path, snapshot: SnapshotAssertion):
    # Where the results change after a release, RESULTS_FORMAT must grow with the snapshot.
    data = tmp_path / "train.jsonl"
    data.write_text("{}\n")
    first = write(tmp_path, "Baseline", dataset=read_dataset(data))
    (first / "entry.md").write_text(
        (first / "entry.md").read_text().replace("## Conclusion\n", "## Conclusion\n\nToo | low.\n")
    )
    second = write(tmp_path, "LoRA r=8", supersedes=first.name, text=True)
    assert (first / "entry.md").read_text() == snapshot(name="entry.md")
    assert (second / "entry.md").read_text() == snapshot(name="entry.md with text")
    assert (first / "run.json").read_text() == snapshot(name="run.json")
    assert render_journal(tmp_path).read_text() == snapshot(name="README.md")


def test_the_record_gives_the_run_back(tmp_path: Path):
    record = decode((write(tmp_path, text=True) / "run.json").read_bytes())
    assert decode(encode(record)) == record
    for row, (prompt, outcome) in zip(record.rows, journal_run.rows(), strict=True):
        assert prompt_of(row) == prompt
        again = outcome_of(row)
        if isinstance(outcome, EvalFault):
            assert again == outcome.model_copy(update={"message": ""})
        else:
            assert again == outcome


def test_words_enter_git_only_when_they_may(tmp_path: Path):
    silent = write(tmp_path)
    content = (silent / "run.json").read_text() + (silent / "entry.md").read_text()
    for secret in ("octocat", "Oslo", "192.168.1.5", "jane", "127.0.0.1", "10.0.0.7", "gpu-box"):
        assert secret not in content
    assert "Killed (exit -9); … at http://…" in content
    assert '"details":{"asked":2}' in content
    spoken = (write(tmp_path, text=True) / "run.json").read_text()
    assert "octocat" in spoken
    assert "192.168.1.5" not in spoken


def test_code_that_was_not_run_is_named_in_an_entry(tmp_path: Path):
    rows = journal_run.rows()
    report = journal_run.report(rows)
    model = report.run.model.model_copy(update={"own_code": ("modeling_own.py",)})
    report = report.model_copy(update={"run": report.run.model_copy(update={"model": model})})
    entry = write_entry(tmp_path, report, rows, goal="Code", text=False, now=NOON)
    assert "- Code of its own: `never run (modeling_own.py)`" in (entry / "entry.md").read_text()
    assert check_journal(tmp_path).findings == ()
    assert "Code of its own" not in (write(tmp_path) / "entry.md").read_text()


def test_paths_are_relative_and_addresses_are_gone(tmp_path: Path):
    privacy = Privacy(root=tmp_path / "proj", home=Path("/Users/jane"))
    for said, kept in [
        (f"punie eval {tmp_path}/proj/data/suites/x.yaml", "punie eval data/suites/x.yaml"),
        (f"--output={tmp_path}/proj", "--output=."),
        (f"{tmp_path}/projector/x", "…/x"),
        ("/Users/jane/models/m", "~/models/m"),
        ("/Users/janet/models/m", "…/m"),
        ("--url http://me:pw@host.example:8000/v1?key=s3cret", "--url http://…"),
        ("--url http://127.0.0.1:8080/v1", "--url http://localhost"),
        ("--url http://localhost.evil.example/v1", "--url http://…"),
        ("mlx-community/Qwen2.5-Coder", "mlx-community/Qwen2.5-Coder"),
        ("./here/x ../there/y ~/z/w", "./here/x ../there/y ~/z/w"),
        ("C:\\Users\\jane\\m.gguf", "…/m.gguf"),
    ]:
        assert privacy.text(said) == kept


def test_messages_name_no_machine(tmp_path: Path):
    privacy = Privacy(root=tmp_path, home=Path("/Users/jane"), host="janes-mac")
    for said, kept in [
        ("10.0.0.7 refused", "… refused"),
        ("192.168.1.5:8080/v1 refused", "…/v1 refused"),
        ("[fe80::1]:8000 refused", "… refused"),
        ("jane@lab.example said no", "… said no"),
        ("gpu-box:8000 is gone", "… is gone"),
        ("gpu.example.org:11434 is gone", "… is gone"),
        ("janes-mac.local and janes-mac slept", "… and … slept"),
        ("read /Users/jane/.cache/log", "read ~/.cache/log"),
        ("127.0.0.1:8123 and localhost:8123", "127.0.0.1:8123 and localhost:8123"),
        ("mlx 0.32.4 at 01:52:07, exit -9", "mlx 0.32.4 at 01:52:07, exit -9"),
        ("qwen2.5:7b asked 8 at 12:30", "qwen2.5:7b asked 8 at 12:30"),
    ]:
        assert privacy.message(said) == kept


def edit(path: Path, old: str, new: str) -> int:
    """Replace the first `old` and return its line."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def resealed(entry: Path) -> None:
    """Write the hash of a changed run.json into the front matter, as a careful forger would."""
    text = (entry / "entry.md").read_text()
    old = next(line for line in text.split("\n") if line.startswith("run_sha256"))
    new = f'run_sha256: "{sha256((entry / "run.json").read_bytes())}"'
    (entry / "entry.md").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("**Overall ", "**Overall 9", "the results say “**Overall 9"),
        ("| reasoning ", "| Reasoning ", "the results say “| Reasoning"),
        ("- `lost`: timed out\n", "", "missing from the results: “- `lost`: timed out”"),
        ("### Culprits", "### Culprits\nnone really", "not in the results of this run: “none"),
        ("score: 0.", "score: 0.9", "score is 0.9"),
        ("seed: 7", "seed: 8", "seed is 8, run.json gives 7"),
        ("seed: 7\n", "", "seed is missing"),
        ("seed: 7", "seed: 7\nmood: 1", "mood is not a key"),
        ("seed: 7", "seed: 7\nseed: 7", "seed stands twice"),
        ("seed: 7", "seed: seven", "the value of seed is no JSON"),
        ('verdict: "', 'verdict: "better, ', "verdict is better, "),
        ("run_sha256: ", "run_sha256: 1", "run_sha256"),
        (BEGIN, "<!-- begin -->", f"the line {BEGIN} is missing"),
        (END, f"{END}\n{END}", f"the line {END} stands twice"),
        ("---\nid", "id", "the front matter is missing"),
    ],
)
def test_an_edit_of_what_punie_wrote_is_found(tmp_path: Path, old: str, new: str, what: str):
    entry = write(tmp_path)
    line = edit(entry / "entry.md", old, new)
    findings = check_journal(tmp_path).findings
    assert any(what in finding.what for finding in findings)
    lines = [finding.line for finding in findings if what in finding.what]
    missing = "missing" in what or not new
    assert missing or any(line <= found <= line + new.count("\n") for found in lines)
    assert all(finding.file.endswith("/entry.md") for finding in findings)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"score":0.5', '"score":0.75', "score is 0.75, its scorers give 0.5"),
        ('"value":0.5', '"value":0.75', "score is 0.5, its scorers give 0.75"),
        ('"passed":true,"prompt', '"passed":false,"prompt', "passed is False"),
        ('"culprit":"not called"', '"culprit":"no number"', "culprit is no number"),
        ('"weight":2.0', '"weight":3.0', "summary.score.value is"),
        ('"latency_s":0.55', '"latency_s":0.15', "summary.latency.mean is"),
        ('"completion_tokens":5', '"completion_tokens":6', "summary.tokens_out is"),
        ('"fault":"timed out"', '"fault":"server died"', "summary.fault_kinds"),
        ('"category":"tool_calling"', '"category":"tools"', "differs between its repeats"),
        ('"repeat":1', '"repeat":0', "stands twice"),
        ('"role":"tester"', '"role":"coder"', "differs between its repeats"),
        ('"tags":["easy"]', '"tags":["hard"]', "differs between its repeats"),
        ('"verdict":"must-pass failed"', '"verdict":"measured"', "verdict is measured, the run"),
        ('"results_sha256":"', '"results_sha256":"0', "results_sha256 is not that"),
        ('"score":0.5', '"score":7', "less than or equal to 1"),
        ('"score":0.5', '"score":NaN', "no JSON: NaN"),
        ('"latency_s":0.55', '"latency_s":1e300', "less than or equal to"),
        (
            '"fault":"timed out"',
            '"fault":"timed out","score":1.0',
            "has a fault, so it has no score",
        ),
        ('"scores.svg":"', '"scores.svg":"0', "scores.svg is not the chart of this run"),
        ('"scores.svg":"', '"../x.svg":"', "../x.svg is no chart's name"),
        ('"schema_version":1', '"schema_version":99', "written by a newer punie"),
        ('"rows":[\n', '"rows":[\n\n', "canonical form"),
        ('"rows":[\n', '"rows":[\n,', "no JSON"),
        ('"first baseline-', '"x-', "is the record of"),
    ],
)
def test_an_edit_of_the_record_is_found_even_when_resealed(
    tmp_path: Path, old: str, new: str, what: str
):
    entry = write(tmp_path)
    old, new = (text.replace("first baseline-", "20261121-0152-first") for text in (old, new))
    line = edit(entry / "run.json", old, new)
    assert check_journal(tmp_path).findings
    resealed(entry)
    findings = check_journal(tmp_path).findings
    hits = [finding for finding in findings if what in finding.what]
    assert hits
    if "stands twice" in what or "its scorers" in what or "equal to" in what:
        assert hits[0].line == line
        assert hits[0].file.endswith("/run.json")


@pytest.mark.parametrize("name", ["entry.md", "run.json", "scores.svg", "latency.svg"])
def test_a_deleted_or_linked_file_is_found(tmp_path: Path, name: str):
    entry = write(tmp_path)
    kept = tmp_path / name
    (entry / name).rename(kept)
    assert lines_of(check_journal(tmp_path)) == [f"journal/2026/11/{entry.name}/{name}: is missing"]
    (entry / name).symlink_to(kept)
    assert "is a link" in lines_of(check_journal(tmp_path))[0]


def test_an_edited_chart_or_its_reference_is_found(tmp_path: Path):
    entry = write(tmp_path)
    edit(entry / "latency.svg", "median", "Median")
    line = edit(entry / "entry.md", "](scores.svg)", "](http://evil.example/scores.svg)")
    place = f"journal/2026/11/{entry.name}"
    reference, chart = lines_of(check_journal(tmp_path))
    assert reference.startswith(f"{place}/entry.md:{line}: the results say “![Score by category")
    assert chart == f"{place}/latency.svg: was edited: run.json has another hash of it"


def test_prose_is_the_persons(tmp_path: Path):
    entry = write(tmp_path)
    path = entry / "entry.md"
    edit(path, "## Conclusion\n", "## Conclusion\n\n- It *works* | 41 %.\n")
    edit(path, "# First baseline (2026", "# The first baseline (2026")
    edit(path, "## Next steps\n", "## Notes\n\nMine.\n\n## Next steps\n")
    path.write_text(path.read_text().replace("\n", "\r\n"), newline="")
    assert check_journal(tmp_path).findings == ()
    assert "It \\*works\\* \\| 41 %." in render_journal(tmp_path).read_text()


def test_all_findings_of_all_entries_come_at_once(tmp_path: Path):
    first, second = write(tmp_path), write(tmp_path)
    edit(first / "entry.md", "seed: 7", "seed: 8")
    edit(first / "entry.md", "| coder ", "| Coder ")
    edit(second / "entry.md", "seed: 7", "seed: 9")
    assert len(check_journal(tmp_path).findings) == 3
    assert len(check_journal(tmp_path, [second.name]).findings) == 1
    assert len(check_journal(tmp_path, [str(first / "entry.md")]).findings) == 2
    with pytest.raises(InputError, match="fits several"):
        check_journal(tmp_path, ["2026"])
    with pytest.raises(InputError, match="no entry"):
        check_journal(tmp_path, ["nothing"])


def test_an_entry_of_an_earlier_format_is_compared_by_hash(tmp_path: Path):
    entry = write(tmp_path)
    edit(entry / "run.json", '"results_format":3', '"results_format":0')
    resealed(entry)
    assert check_journal(tmp_path).findings == ()
    edit(entry / "entry.md", "| coder ", "| Coder ")
    assert "results were edited" in lines_of(check_journal(tmp_path))[0]


def test_a_record_from_before_checks_is_written_and_compared_as_then(tmp_path: Path):
    rows = [
        (prompt, outcome.model_copy(update={"failures": (), "started_at": "2026-11-21T01:51:00Z"}))
        for prompt, outcome in journal_run.rows()
    ]
    report = journal_run.report(rows, checks=None, incidents=())
    entry = write_entry(tmp_path, report, rows, goal="Before", now=NOON)
    content = (entry / "run.json").read_bytes()
    record = decode(content)
    earlier = record.model_copy(
        update={"results_format": 1, "rows": tuple(row.as_of(1) for row in record.rows)}
    )
    was, now = results_of(earlier), results_of(record)
    assert "### Faults" in was
    assert "waiting included" in now
    assert "waiting included" not in was
    edit(entry / "entry.md", now, was)
    earlier = earlier.model_copy(update={"results_sha256": sha256(was.encode())})
    (entry / "run.json").write_bytes(encode(earlier))
    assert encode(earlier) != content
    resealed(entry)
    assert check_journal(tmp_path, stored=lambda _: (report.run, rows)).findings == ()
    edit(entry / "entry.md", "| coder ", "| Coder ")
    assert "the results say “| Coder" in lines_of(check_journal(tmp_path))[0]


def test_the_entries_of_this_project_are_still_written_to_the_letter():
    root = Path(__file__).parent.parent
    folders = entry_folders(root / "journal")
    runs = [entry for folder in folders if (entry := read_entry(root, folder)).note is None]
    assert runs
    assert check_journal(root).findings == ()  # those of trainings and benchmarks too
    for entry in runs:
        assert entry.record
        assert entry.document
        assert entry.document.results == ["", *results_of(entry.record).split("\n"), ""]


def test_the_database_is_compared_where_it_has_the_run(tmp_path: Path):
    rows = journal_run.rows()
    run = journal_run.report(rows).run
    write(tmp_path)
    assert check_journal(tmp_path, stored=lambda _: None).findings == ()
    assert check_journal(tmp_path, stored=lambda _: (run, rows)).findings == ()
    prompt, outcome = rows[0]
    assert isinstance(outcome, EvalResult)
    slower = outcome.completion.model_copy(update={"latency_s": 9.0})
    changed = [(prompt, outcome.model_copy(update={"completion": slower})), *rows[1:-1]]
    found = lines_of(check_journal(tmp_path, stored=lambda _: (run, changed)))
    assert [line.partition(": ")[2] for line in found] == [
        "prompt sum differs from the database",
        "prompt lost is not in the database",
    ]


def test_a_resumption_outdates_an_entry_until_another_supersedes_it(tmp_path: Path):
    rows = journal_run.rows()
    first = write(tmp_path)
    lost = next(index for index, (_, outcome) in enumerate(rows) if isinstance(outcome, EvalFault))
    prompt, fault = rows[lost]
    answered = journal_run.answer(prompt, 1, fault.repeat)
    rows[lost] = (prompt, answered)
    resumed = Incident(at="2026-11-21T02:00:00Z", kind=IncidentKind.RESUMED, what="1 was left.")
    report = journal_run.report(rows, incidents=(*journal_run.INCIDENTS, resumed))
    check = check_journal(tmp_path, stored=lambda _: (report.run, rows))
    assert check.findings == ()
    assert "outdated by a resumption of run r1; to supersede it" in check.warnings[0].what
    # What the entry had an answer to was not asked again.
    kept, before = rows[0]
    changed = [(kept, before.model_copy(update={"attempts": 3})), *rows[1:]]
    found = lines_of(check_journal(tmp_path, stored=lambda _: (report.run, changed)))
    assert [line.partition(": ")[2] for line in found] == ["prompt sum differs from the database"]

    write_entry(tmp_path, report, rows, goal="Whole", supersedes=first.name, now=NOON)
    render_journal(tmp_path)
    for names in ([], [first.name]):
        check = check_journal(tmp_path, names, stored=lambda _: (report.run, rows))
        assert (check.findings, check.warnings) == ((), ())


def test_branches_that_add_entries_merge_without_conflict(tmp_path: Path):
    def git(*arguments: str) -> None:
        quiet = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.hooksPath="]
        subprocess.run(
            ["git", *quiet, *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=30
        )

    git("init", "-b", "main")
    write(tmp_path, "Start")
    render_journal(tmp_path)
    git("add", ".")
    git("commit", "-m", "start")
    for branch in ("one", "two"):
        git("checkout", "-b", branch, "main")
        write(tmp_path, "Same goal")
        git("add", ".")
        git("commit", "-m", branch)
    git("merge", "one")
    check = check_journal(tmp_path)
    assert (len(check.entries), check.findings) == (3, ())
    assert [warning.what for warning in check.warnings] == [
        "is not up to date: run punie journal render"
    ]
    render_journal(tmp_path)
    assert check_journal(tmp_path, strict=True).findings == ()


@pytest.mark.parametrize(("module", "name"), [(os, "fsync"), (os, "rename"), (Path, "mkdir")])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_at_any_step_leaves_no_half_entry(
    tmp_path: Path, module: object, name: str, error: BaseException
):
    real: Callable[..., object] = getattr(module, name)
    expected = StoreError if isinstance(error, OSError) else KeyboardInterrupt
    write(tmp_path)
    failures = 0
    while True:
        calls = 0

        def failing(*arguments: object, **more: object) -> object:
            nonlocal calls
            calls += 1
            if calls == failures + 1:  # noqa: B023 - runs within this round
                raise error
            return real(*arguments, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, failing)
            try:
                write(tmp_path, now=datetime(2027, 2, 3, tzinfo=UTC))
            except expected:
                failures += 1
            else:
                break
        left = [path.name for path in (tmp_path / "journal").iterdir()]
        assert not [each for each in left if each.startswith(".")]
        # Once the name is there the entry is whole; a later error tells only that it may be lost.
        assert check_journal(tmp_path).findings == ()
    assert failures
    assert check_journal(tmp_path).findings == ()


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import journal_run
from punie.journal.entry import write_entry
left, kill = int(sys.argv[3]), os.kill
def dying(real):
    def call(*arguments, **more):
        global left
        left -= 1
        if left < 0:
            kill(os.getpid(), 9)
        return real(*arguments, **more)
    return call
os.fsync, os.rename, os.mkdir = dying(os.fsync), dying(os.rename), dying(os.mkdir)
rows = journal_run.rows()
write_entry(Path(sys.argv[2]), journal_run.report(rows), rows, goal="Killed")
"""


def test_a_kill_at_any_step_leaves_no_half_entry(tmp_path: Path):
    here = str(Path(__file__).parent)
    seen: set[int] = set()
    # Every third step, so that the test stays fast; the steps before the rename are all alike.
    for step in range(0, 40, 3):
        command = [sys.executable, "-c", KILLED, here, str(tmp_path), str(step)]
        status = subprocess.run(command, check=False, timeout=60).returncode
        check = check_journal(tmp_path)
        assert check.findings == ()
        assert status in {0, -signal.SIGKILL}
        seen.add(len(check.entries))
        if status == 0:
            break
    assert seen >= {0, 1}
    write(tmp_path)
    assert not list((tmp_path / "journal").glob(".*"))


def test_an_entry_is_never_written_over_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = write(tmp_path)
    before = (first / "entry.md").read_bytes()
    letters = iter("0000" + "0001")

    def choice(_: str) -> str:
        return next(letters)

    monkeypatch.setattr(folder_module.secrets, "choice", choice)
    second = write(tmp_path)
    assert second.name.endswith("-0001")
    assert (first / "entry.md").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path):
    (tmp_path / "journal").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        write(tmp_path)


def test_arguments_that_do_not_fit_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="goal is empty"):
        write(tmp_path, " \n")
    with pytest.raises(InputError, match="comparison"):
        write(tmp_path, verdict="better")
    with pytest.raises(InputError, match="no entry"):
        write(tmp_path, supersedes="20200101-0000-x-aaaa")
    rows = journal_run.rows()
    with pytest.raises(JournalError, match="does not agree with its own rows"):
        write_entry(tmp_path, journal_run.report(rows), rows[:-1], goal="Half")
    assert entry_folders(tmp_path / "journal") == []


def test_a_comparison_stands_in_the_front_matter(tmp_path: Path):
    entry = write(tmp_path, baseline="r0", verdict="better")
    front = parse((entry / "entry.md").read_text()).front
    assert (front["baseline"].value, front["verdict"].value) == ("r0", "better")
    assert check_journal(tmp_path).findings == ()


@pytest.mark.parametrize(
    ("goal", "name"),
    [
        ("LoRA r=8, alpha=32", "lora-r-8-alpha-32"),
        ("Über-Größe naïve", "uber-groe-naive"),
        ("基线", "entry"),
        ("../../etc/passwd", "etc-passwd"),
        ("🚀", "entry"),
        ("a" * 60, "a" * 40),
        ("one two three four five six seven eight nine", "one-two-three-four-five-six-seven-eight"),
    ],
)
def test_slugs_are_short_plain_and_cut_at_words(goal: str, name: str):
    assert slug(goal) == name


@given(st.text())
def test_every_goal_gives_a_valid_name(goal: str):
    assert ENTRY_ID.fullmatch(f"20261121-0152-{slug(goal)}-k3f9")


@given(st.text(min_size=1))
def test_front_matter_is_yaml_and_is_read_back(text: str):
    values: dict[str, JsonValue] = {
        "goal": text,
        "score": 0.25,
        "interval": [0.1, 0.5],
        "seed": None,
    }
    shown = json.loads(json.dumps(values))
    front = front_matter(values)
    assert {key: each.value for key, each in parse(f"{front}\n").front.items()} == shown
    if text.isprintable():
        assert yaml.safe_load(front.removeprefix("---\n").removesuffix("---")) == shown


def test_a_goal_in_any_script_stays_readable(tmp_path: Path):
    entry = write(tmp_path, "Grundlinie für 基线 | 🚀 `x` <!-- punie:end -->\nand more")
    text = (entry / "entry.md").read_text()
    assert "# Grundlinie für 基线 \\| 🚀 \\`x\\` &lt;!-- punie:end --&gt; and more (2026" in text
    assert check_journal(tmp_path).findings == ()


def test_text_that_looks_like_a_mark_does_not_end_the_results(tmp_path: Path):
    rows = journal_run.rows(text=f"{END}\n---\n## Conclusion\n{BEGIN}")
    report = journal_run.report(rows)
    write_entry(tmp_path, report, rows, goal="Marks", text=True, now=NOON)
    assert check_journal(tmp_path).findings == ()


def test_a_readme_of_somebody_else_is_not_overwritten(tmp_path: Path):
    write(tmp_path)
    readme = tmp_path / "journal/README.md"
    readme.write_text("# Training Experiment Journal\n")
    with pytest.raises(InputError, match="not written by punie"):
        render_journal(tmp_path)
    assert readme.read_text() == "# Training Experiment Journal\n"


def test_a_broken_entry_stops_the_table_with_its_place(tmp_path: Path):
    entry = write(tmp_path)
    edit(entry / "run.json", '"score":0.5', '"score":7')
    with pytest.raises(JournalError, match=r"run\.json:\d+: rows\.\d+\.score"):
        render_journal(tmp_path)


def test_the_table_names_its_stale_line_and_lost_entries(tmp_path: Path):
    first = write(tmp_path)
    write(tmp_path, supersedes=first.name)
    path = render_journal(tmp_path)
    line = edit(path, "| First baseline", "| Last baseline")
    (warning,) = check_journal(tmp_path).warnings
    assert str(warning) == f"journal/README.md:{line}: is not up to date: run punie journal render"
    shutil.rmtree(first)
    whats = [each.what for each in check_journal(tmp_path).warnings]
    assert any("which is not in this journal" in what for what in whats)


def test_one_table_per_suite_newest_first(tmp_path: Path):
    rows = journal_run.rows()
    for hour, suite in enumerate(["quick", "baseline", "quick"]):
        when = datetime(2026, 11, 21, hour, tzinfo=UTC)
        report = journal_run.report(rows, suite=suite, suite_hash=str(hour) * 64)
        write_entry(tmp_path, report, rows, goal=f"Step {hour}", now=when)
    text = render_journal(tmp_path).read_text()
    places = [
        text.index(part) for part in ("## quick", "Step 2", "Step 0", "## baseline", "Step 1")
    ]
    assert places == sorted(places)
    assert "suite 1 @`222222222222`" in text


def test_a_table_without_entries_says_how_to_begin(tmp_path: Path):
    assert "No entry yet: `punie journal new GOAL`." in render_journal(tmp_path).read_text()
    assert check_journal(tmp_path, strict=True).findings == ()


def test_a_dataset_has_the_hash_of_its_bytes(tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").write_bytes(b"{}\n")
    (data / ".DS_Store").write_bytes(b"x")
    one, whole = read_dataset(data / "train.jsonl"), read_dataset(data)
    assert (one.name, one.hash) == ("train.jsonl", sha256(b"{}\n"))
    (data / ".DS_Store").write_bytes(b"y")
    assert read_dataset(data) == whole
    (data / "train.jsonl").rename(data / "valid.jsonl")
    assert read_dataset(data) != whole
    with pytest.raises(InputError, match="has no file"):
        read_dataset((tmp_path / "empty", (tmp_path / "empty").mkdir())[0])


def test_hostile_findings_incidents_and_names_stay_in_their_entry(tmp_path: Path):
    marks = (
        f"\n---\n{END}\n## Conclusion\n```\n<script>x</script> | a\x1b[2J\x00\ud800" + "y" * 99_999
    )
    run = journal_run.report(journal_run.rows()).run
    checks = Checks(
        findings=(
            Finding(name=marks, level=Level.WARNING, sentence=marks, details={"said": marks}),
        )
    )
    incidents = (Incident(at=marks, kind=IncidentKind.GAVE_UP, what=marks),)
    rows = journal_run.rows()
    report = journal_run.report(rows, checks=checks, incidents=incidents)
    entry = write_entry(tmp_path, report, rows, goal="Goal", text=True, now=NOON)
    assert check_journal(tmp_path, stored=lambda _: (run, rows)).findings == ()
    text = (entry / "entry.md").read_text()
    assert text.count(END) == 1
    assert "<script" not in text
    assert not set(text) & {"\x1b", "\x00"}
    assert len(text) < 20_000

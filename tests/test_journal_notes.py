"""Entries of trainings and benchmarks: written from a record, recomputed from it alone."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

import journal_run
from punie.adapters.manifest import add_result, write_manifest
from punie.errors import InputError, JournalError
from punie.journal import folder as folder_module
from punie.journal.benchmark import BENCHMARK_KIND, write_benchmark_entry
from punie.journal.canonical import canonical_text
from punie.journal.check import check_journal
from punie.journal.document import BEGIN, END
from punie.journal.entry import write_entry
from punie.journal.folder import find_entry
from punie.journal.table import render_journal
from punie.journal.training import TRAINING_KIND, TrainingRecord, write_training_entry
from punie.records.adapter import AdapterManifest
from punie.records.datacheck import DataFinding, Place, Severity
from punie.records.training import Ending
from synthetic_adapter import a_result
from synthetic_training import a_benchmark, a_finished_manifest

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _numbered_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number the entries, so that their names are the same in each test run."""
    digits = chain.from_iterable(f"{n:04}" for n in count())

    def choice(_: str) -> str:
        return next(digits)

    monkeypatch.setattr(folder_module.secrets, "choice", choice)


def write(root: Path, manifest: AdapterManifest | None = None, goal: str = "Train it") -> Path:
    return write_training_entry(root, manifest or a_finished_manifest(), goal=goal, now=NOON)


def findings(root: Path) -> list[str]:
    return [str(each) for each in check_journal(root).findings]


def warnings(root: Path) -> list[str]:
    return [each.what for each in check_journal(root, strict=True).warnings]


def region_of(entry: Path) -> str:
    text = (entry / "entry.md").read_text()
    return text[text.index(BEGIN) : text.index(END)]


def test_what_is_written_checks_clean(tmp_path: Path) -> None:
    training = write(tmp_path)
    benchmark = write_benchmark_entry(tmp_path, a_benchmark(), goal="How fast?", now=NOON)
    assert training == tmp_path / "journal/2026/11/20261121-1200-train-it-0000"
    assert {each.name for each in training.iterdir()} == {"entry.md", "training.json", "loss.svg"}
    assert {each.name for each in benchmark.iterdir()} == {"entry.md", "benchmark.json"}
    render_journal(tmp_path)
    check = check_journal(tmp_path, strict=True)
    assert (check.findings, check.warnings) == ((), ())
    assert check.entries == (benchmark.name, training.name)


def test_a_training_looks_like_this(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    # Where the results change after a release, TRAINING_FORMAT must grow with the snapshot.
    manifest = a_finished_manifest(
        findings=(DataFinding(check="leakage", severity=Severity.ERROR, what="2 prompts leak"),),
        leaked_suites={"9" * 64: 2},
        results=(a_result(stamps=("leaked",)),),
    )
    entry = write(tmp_path, manifest)
    assert (entry / "entry.md").read_text() == snapshot(name="entry")
    assert (entry / "loss.svg").read_text() == snapshot(name="chart")
    write_benchmark_entry(tmp_path, a_benchmark(), goal="How fast?", now=NOON)
    assert render_journal(tmp_path).read_text() == snapshot(name="table")


def test_the_front_matter_is_yaml(tmp_path: Path) -> None:
    _, front, _ = (write(tmp_path) / "entry.md").read_text().split("---\n", 2)
    values = yaml.safe_load(front)
    assert values["adapter"] == "tiny-weather"
    assert values["dataset"].startswith("weather@79c4353fc511")
    assert (values["kept"], values["value"]) == (30, 0.3417)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


EDITS: dict[str, tuple[str, str, str, str]] = {
    "the headline": (
        "entry.md",
        "validation loss 0.342",
        "validation loss 0.242",
        "entry.md:44: the results say “**Kept: iteration 30, by validation loss 0.242",
    ),
    "a loss of the table": (
        "entry.md",
        "|         0.200 |           0.350 |",
        "|         0.200 |           0.250 |",
        "the results say",
    ),
    "a deleted line": (
        "entry.md",
        "| Peak memory            |        2 GB |\n",
        "",
        "missing from",
    ),
    "the front matter": (
        "entry.md",
        "value: 0.3417",
        "value: 0.2417",
        "entry.md:13: value is 0.2417, training.json gives 0.3417",
    ),
    "a foreign key": ("entry.md", "kept: 30\n", "kept: 30\nbest: 1\n", "best is not a key"),
    "the chart": ("loss.svg", "kept: 30", "kept: 20", "loss.svg: was edited"),
    "the spacing of the record": (
        "training.json",
        '{"step":1,"train":2.1}',
        '{"step": 1, "train": 2.1}',
        "training.json: is not in punie's canonical form",
    ),
    "a loss of the record": (
        "training.json",
        '"valid":0.35000000000000003}',
        '"valid":0.25}',
        "chosen.candidates has 0.35000000000000003 at 20, the losses have 0.25",
    ),
    "an infinite loss": ("training.json", '"train":2.1', '"train":1e999', "training.json"),
    "an endless step": ("training.json", '"step":100', f'"step":{10**400}', "training.json"),
    "no JSON": ("training.json", '{"step":1,', '{"step":1', "training.json:5: no JSON"),
    "another type": (
        "training.json",
        '{"step":1,',
        '{"step":"x",',
        "training.json:5: losses.0.step: Input should be a valid integer",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_is_found(tmp_path: Path, name: str) -> None:
    file, old, new, words = EDITS[name]
    entry = write(tmp_path)
    edit(entry / file, old, new)
    assert any(words in finding for finding in findings(tmp_path))


def forge(entry: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the record and write everything anew, as somebody would who knows how punie does."""
    kind = TRAINING_KIND if (entry / "training.json").exists() else BENCHMARK_KIND
    data = json.loads((entry / kind.file).read_text())
    change(data)
    record: Any = kind.record.model_validate(data)
    content = canonical_text(record, rows=kind.rows)
    (entry / kind.file).write_bytes(content)


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "the data's hash": (
        lambda data: data["manifest"]["data"].update(hash="0" * 64),
        "data.hash is 000000000000, its splits give 79c4353fc511",
    ),
    "a split's hash": (
        lambda data: data["manifest"]["data"]["splits"]["train"].update(hash="0" * 64),
        "data.hash is 79c4353fc511, its splits give",
    ),
    "more rows": (
        lambda data: data["manifest"]["data"]["splits"]["train"].update(rows=999),
        "training.epochs is 3.333, steps and rows give 0.4",
    ),
    "another checkpoint": (
        lambda data: data["manifest"]["chosen"].update(step=40),
        "chosen.step is 40, the candidates give 30",
    ),
    "a lower loss": (
        lambda data: data["manifest"]["chosen"].update(value=0.1),
        "chosen.value is 0.1, the candidates give 0.341",
    ),
    "fewer iterations": (
        lambda data: data["manifest"]["training"].update(steps=90),
        "training.ending is done after 90 of 100 iterations",
    ),
    "more iterations": (
        lambda data: data["manifest"]["training"].update(steps=101),
        "training.steps is 101, the plan has 100 iterations",
    ),
    "losses out of order": (
        lambda data: data["losses"].reverse(),
        "training.json:4: iteration 99 stands after iteration 100",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_does_not_follow_from_the_rest_is_found(tmp_path: Path, name: str) -> None:
    change, words = FORGERIES[name]
    entry = write(tmp_path)
    forge(entry, change)
    found = findings(tmp_path)
    assert any(words in each for each in found)
    assert any("training_sha256" in each for each in found)


BENCHMARKS: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a faster median": (
        lambda data: data["result"]["training"].update(seconds_per_iter=1.0),
        "training.seconds_per_iter is 1.0, its median is 3.0",
    ),
    "a faster cell": (
        lambda data: data["result"]["grid"][1]["measured"].update(seconds_per_iter=1.0),
        "grid[1].measured.seconds_per_iter is 1.0, its median is 1.6",
    ),
    "more iterations": (
        lambda data: data["result"]["training"].update(num_iters=50),
        "training.num_iters is 50, 5 iterations were timed",
    ),
    "another shape": (
        lambda data: data["result"]["grid"][1]["shape"].update(batch=8),
        "grid[1] is of another shape than what was measured",
    ),
    "another decision": (
        lambda data: data["result"]["decision"].update(seconds_per_iter=1.0),
        "decision is of 1.0 s, 3.0 s were measured",
    ),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_forged_benchmark_is_found(tmp_path: Path, name: str) -> None:
    change, words = BENCHMARKS[name]
    forge(write_benchmark_entry(tmp_path, a_benchmark(), goal="How fast?", now=NOON), change)
    assert any(words in each for each in findings(tmp_path))


def adapter_at(root: Path, manifest: AdapterManifest) -> Path:
    folder = root / "adapters" / manifest.name
    folder.mkdir(parents=True)
    write_manifest(folder, manifest)
    return folder


def test_the_adapter_says_the_same(tmp_path: Path) -> None:
    write(tmp_path)
    folder = adapter_at(tmp_path, a_finished_manifest())
    assert findings(tmp_path) == []
    add_result(folder, a_result())
    assert findings(tmp_path) == [], "what is measured later is no contradiction"


def test_an_entry_that_was_written_anew_differs_from_the_adapter(tmp_path: Path) -> None:
    manifest = a_finished_manifest()
    faster = manifest.training.model_copy(update={"seconds_per_iteration": 1.0})
    write(tmp_path, manifest.model_copy(update={"training": faster}))
    adapter_at(tmp_path, manifest)
    (found,) = findings(tmp_path)
    place = "adapters/tiny-weather/punie.json"
    assert f"training.seconds_per_iteration is 1.0, {place} has 3.0" in found


def test_an_adapter_of_another_training_is_not_compared(tmp_path: Path) -> None:
    old = write(tmp_path)
    new = a_finished_manifest(
        created_at="2026-12-01T00:00:00+00:00", weights_hash="7" * 64, adapter_hash="8" * 64
    )
    adapter_at(tmp_path, new)
    assert findings(tmp_path) == []
    assert any("is another adapter of this name by now" in each for each in warnings(tmp_path))
    write_training_entry(tmp_path, new, goal="Again", supersedes=old.name, now=NOON)
    render_journal(tmp_path)
    assert warnings(tmp_path) == []


def test_a_damaged_adapter_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path)
    (adapter_at(tmp_path, a_finished_manifest()) / "punie.json").write_text("{}")
    assert findings(tmp_path) == []
    assert any("cannot be compared" in each for each in warnings(tmp_path))


def test_no_path_of_the_machine_and_no_row_enters_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    plain = a_finished_manifest()
    manifest = plain.model_copy(
        update={
            "base": plain.base.model_copy(update={"name": "/home/alice/models/tiny"}),
            "data_path": f"{tmp_path}/data/weather",
            "training": plain.training.model_copy(
                update={"machine": {"blas": "/usr/lib/x86_64/libopenblas.so.0"}}
            ),
            "findings": (
                DataFinding(
                    check="duplicates",
                    severity=Severity.ERROR,
                    what="2 rows stand twice",
                    places=(
                        Place(file="/srv/data/train.jsonl", line=3, what="a secret row"),
                        Place(file="weather", what="p17"),
                    ),
                    details={"text": "a secret row"},
                ),
            ),
        }
    )
    entry = write(tmp_path, manifest)
    text = "".join(each.read_text() for each in entry.iterdir())
    for private in ("alice", str(tmp_path), "x86_64", "/srv", "secret"):
        assert private not in text
    for kept in ("~/models/tiny", "`data/weather`", "…/libopenblas.so.0", '"what":"p17"'):
        assert kept in text
    adapter_at(tmp_path, manifest)
    assert findings(tmp_path) == []
    monkeypatch.setenv("HOME", "/home/bob")
    assert findings(tmp_path) == [], "on a colleague's machine the paths are others"


def test_a_manifest_that_contradicts_itself_is_not_journaled(tmp_path: Path) -> None:
    plain = a_finished_manifest()
    training = plain.training.model_copy(update={"ending": Ending.DONE, "steps": 50})
    with pytest.raises(JournalError, match="the training does not agree with itself"):
        write(tmp_path, plain.model_copy(update={"training": training}))
    assert not list(tmp_path.glob("journal/2026/11/*"))


def test_an_empty_goal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the goal is empty"):
        write(tmp_path, goal=" ")


def test_an_entry_has_one_record(tmp_path: Path) -> None:
    entry = write(tmp_path)
    (entry / "run.json").write_text("{}")
    assert any("an entry has one record" in each for each in findings(tmp_path))


def test_a_record_in_another_folder_is_found(tmp_path: Path) -> None:
    entry = write(tmp_path)
    entry.rename(entry.with_name("20261121-1200-elsewhere-0000"))
    found = findings(tmp_path)
    assert any(
        "is the record of 20261121-1200-train-it-0000, in the folder" in each for each in found
    )


def test_a_record_names_its_entry(tmp_path: Path) -> None:
    entry = write(tmp_path)
    assert find_entry(tmp_path, str(entry / "training.json")) == entry.resolve()


def test_without_a_curve_there_is_no_chart(tmp_path: Path) -> None:
    plain = a_finished_manifest()
    manifest = plain.model_copy(
        update={
            "training": plain.training.model_copy(update={"losses": ()}),
            "chosen": plain.chosen.model_copy(
                update={"by": "last", "value": None, "candidates": {}}
            ),
        }
    )
    entry = write(tmp_path, manifest)
    assert not (entry / "loss.svg").exists()
    assert "### Loss" not in region_of(entry)
    render_journal(tmp_path)
    assert check_journal(tmp_path, strict=True).findings == ()


def test_the_table_shows_what_runs_measured_of_an_adapter(tmp_path: Path) -> None:
    manifest = a_finished_manifest(results=(a_result("r0", suite="held-out"),))
    write(tmp_path, manifest)
    rows = journal_run.rows()
    report = journal_run.report(rows)
    model = report.run.model.model_copy(
        update={"adapter": "tiny-weather", "adapter_hash": manifest.adapter_hash}
    )
    run = report.run.model_copy(update={"model": model})
    write_entry(tmp_path, report.model_copy(update={"run": run}), rows, goal="Measure it", now=NOON)
    (line,) = [
        line for line in render_journal(tmp_path).read_text().splitlines() if "| Train it" in line
    ]
    assert "`held-out` 90.0 % [78–96]" in line
    score = run.summary.score if run.summary else None
    assert score is not None
    assert f"`{run.suite_name}` {100 * score.value:.1f} %" in line
    assert "0.342 at 30" in line


def test_hostile_names_stay_inert(tmp_path: Path) -> None:
    plain = a_finished_manifest()
    manifest = plain.model_copy(
        update={
            "data": plain.data.model_copy(update={"name": "x | y <img src=x>"}),
            "base": plain.base.model_copy(update={"name": "`@octocat` | <b>"}),
        }
    )
    entry = write(tmp_path, manifest, goal="<script>alert(1)</script> | x")
    table = render_journal(tmp_path).read_text()
    for text in (table, (entry / "entry.md").read_text().split("---\n", 2)[2]):
        assert "<script" not in text
        assert "<b>" not in text
        # In a code span a tag is text.
        assert "<img" not in re.sub(r"`[^`]*`", "", text)
    assert check_journal(tmp_path).findings == ()


def test_an_entry_of_a_later_punie_is_compared_by_its_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TRAINING_KIND, "results_format", 99)
    entry = write(tmp_path)
    monkeypatch.undo()
    assert findings(tmp_path) == []
    edit(entry / "entry.md", "validation loss 0.342", "validation loss 0.242")
    assert any("training.json has another hash of them" in each for each in findings(tmp_path))


def test_the_record_is_whole(tmp_path: Path) -> None:
    manifest = a_finished_manifest()
    content = (write(tmp_path, manifest) / "training.json").read_bytes()
    record = TRAINING_KIND.decode(content)
    assert isinstance(record, TrainingRecord)
    assert record.whole == manifest

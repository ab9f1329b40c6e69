"""`punie benchmark` as people run it: a process, a folder, the real worker, an exit code."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from punie.backends.local import LocalModel, prepare
from punie.cli.benchmark_measuring import Draft
from punie.cli.benchmarking import Benchmarked, benchmark_result, exit_code
from punie.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RUNTIME,
    EXIT_UNMEASURED,
    EXIT_USAGE,
    ServerError,
)
from punie.journal.check import check_journal
from punie.records.benchmark import (
    BenchmarkResult,
    CellEnd,
    Conditions,
    Decision,
    GridCell,
    Heat,
    Pace,
    Power,
    Quartiles,
    ServingBenchmark,
    ServingCell,
    Shape,
    TrainingBenchmark,
)
from punie.records.run import ModelIdentity, Provenance, RunStatus
from punie.reporting.benchmark import BenchmarkTable, benchmark_markdown
from punie.store.benchmarks import BenchmarkStore

PUNIE = [sys.executable, "-m", "punie.cli.main", "benchmark"]
SMALL = ["--batch", "2", "--seq", "32", "--rank", "2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    return root


def environment(folder: Path, columns: int = 80) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNIE_", "OPENAI_", "HF_"))}
    own = {"COLUMNS": str(columns), "HF_HUB_OFFLINE": "1", "PUNIE_STATE": f"{folder}-state"}
    return kept | own


@pytest.fixture
def short_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with a short context: serving it is measured in a moment."""
    copy = tmp_path / "short"
    shutil.copytree(tiny_model, copy)
    config = json.loads((copy / "config.json").read_text())
    config["max_position_embeddings"] = 128
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PUNIE, *words],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def data_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    envelope = json.loads(done.stdout)
    assert envelope["command"] == "benchmark"
    data: dict[str, Any] = envelope["data"]
    return data


def test_training_with_the_users_own_data_and_a_journal_entry(
    folder: Path, tiny_model: Path
) -> None:
    rows = [
        {"role": "user", "content": "Say it."},
        {"role": "assistant", "content": "It is said, and no more than that."},
    ]
    (folder / "mine.jsonl").write_text(f"{json.dumps({'messages': rows})}\n" * 7)
    words = ["--train", "--iters", "2", *SMALL, "--data", "mine.jsonl"]
    done = run(folder, str(tiny_model), *words, "--journal", "how fast is it", "--json")
    assert done.returncode == EXIT_OK, done.stderr
    assert done.stderr == ""
    data = data_of(done)
    assert data["training"]["num_iters"] == 2
    assert data["training"]["shape"] == {"batch": 2, "seq": 32, "rank": 2, "layers": 2}
    assert data["decision"]["pace"] == "go on"
    assert data["serving"] is None
    assert data["grid"] == []
    projection = data["projection"]
    assert (projection["rows"], projection["epochs"], projection["iterations"]) == (7, 3.0, 12)
    assert projection["seconds"] > 0
    assert Path(data["journal"]).parts[-4] == "journal"
    checked = check_journal(folder)
    assert len(checked.entries) == 1
    assert checked.findings == ()
    with BenchmarkStore(folder) as store:
        kept = store.find("last")
    assert kept.id == data["id"]
    assert kept.status is RunStatus.DONE


def test_both_parts_and_what_a_person_sees(folder: Path, short_model: Path) -> None:
    done = run(folder, str(short_model), "--train", "--serve", "--iters", "1", *SMALL)
    assert done.returncode == EXIT_OK, done.stderr
    for words in ("per iteration: go on", "Training", "Serving", "The machine", "Free memory"):
        assert words in done.stdout
    assert "training batch 2 · 32 tokens · 2 layers · rank 2" in done.stderr
    assert "asking the served model" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["no-such-model"], EXIT_UNMEASURED, "no model called no-such-model"),
        (["MODEL", "--layers", "3", "--train"], EXIT_USAGE, "has 2 layers, not 3"),
        (["MODEL", "--serve", "--iters", "3"], EXIT_USAGE, "drop --iters"),
        (["MODEL", "--iters", "0"], EXIT_USAGE, "--iters"),
        (["MODEL", "--train", "--data", "nothing.jsonl"], EXIT_USAGE, "nothing.jsonl"),
        (["MODEL", "--train", "--journal", " "], EXIT_USAGE, "goal"),
    ],
)
def test_what_cannot_be_measured(
    folder: Path, tiny_model: Path, words: list[str], code: int, said: str
) -> None:
    done = run(folder, *(str(tiny_model) if word == "MODEL" else word for word in words))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_projects_data_that_cannot_be_read_does_not_stop_it(
    folder: Path, tiny_model: Path
) -> None:
    (folder / "punie.toml").write_text(f'model = "{tiny_model}"\ndata = "./gone.jsonl"\n')
    done = run(folder, "--train", "--iters", "1", *SMALL, "--json")
    assert done.returncode == EXIT_RUNTIME, done.stderr
    data = data_of(done)
    assert data["training"]["model_path"] == str(tiny_model)
    assert data["projection"] is None
    assert "gone.jsonl" in data["problems"][0]


def test_ctrl_c_keeps_the_cells_that_were_measured(folder: Path, tiny_model: Path) -> None:
    argv = [*PUNIE, str(tiny_model), "--train", "--grid", "--iters", "2", *SMALL]
    with subprocess.Popen(
        argv,
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as punie:
        assert punie.stderr is not None
        for line in punie.stderr:
            if line.startswith("cell 3 of"):
                punie.send_signal(signal.SIGINT)
                break
        out, err = punie.communicate(timeout=60)
    assert punie.returncode == EXIT_INTERRUPTED, err
    assert "Traceback" not in err
    assert "per iteration: go on" in out
    with BenchmarkStore(folder) as store:
        kept = store.find("last")
    assert kept.status is RunStatus.INTERRUPTED
    assert kept.training is not None
    assert [cell.end for cell in kept.grid][:2] == [CellEnd.MEASURED, CellEnd.MEASURED]


def local(tiny_model: Path) -> LocalModel:
    return prepare(str(tiny_model))


def test_a_shape_that_ran_out_of_memory_is_a_problem_with_a_way_out(tiny_model: Path) -> None:
    full = GridCell(shape=SHAPE, end=CellEnd.OUT_OF_MEMORY, why="the batch takes 40 GB")
    smaller = SLOW.model_copy(update={"shape": SHAPE.model_copy(update={"batch": 1})})
    fitting = GridCell(shape=smaller.shape, end=CellEnd.MEASURED, measured=smaller)
    draft = Draft(cells=[full, fitting])
    made = (Conditions(), RunStatus.DONE, Provenance())
    result = benchmark_result(local(tiny_model), draft, *made, grid=True)
    assert result.decision is None
    assert result.problems == (
        f"{SHAPE}: out of memory, the batch takes 40 GB",
        f"measured and possible: {smaller.shape} took 1 min 10 s (measured)",
    )
    assert exit_code(Benchmarked(result)) == EXIT_RUNTIME
    nothing = benchmark_result(local(tiny_model), Draft(cells=[full]), *made, grid=False)
    assert exit_code(Benchmarked(nothing)) == EXIT_UNMEASURED


def test_a_part_that_fails_leaves_the_other(tiny_model: Path) -> None:
    draft = Draft(cells=[GridCell(shape=SHAPE, end=CellEnd.MEASURED, measured=SLOW)])
    draft.failures.append(ServerError("the server died"))
    found = Conditions(warnings=("the machine is hot",))
    result = benchmark_result(
        local(tiny_model), draft, found, RunStatus.DONE, Provenance(), grid=False
    )
    assert result.problems == ("the server died",)
    assert result.decision is not None
    assert result.decision.pace is Pace.CHANGE
    assert "measure again" in result.decision.advice[0]
    assert exit_code(Benchmarked(result)) == EXIT_RUNTIME


SHAPE = Shape(batch=4, seq=256, rank=8, layers=16)
SLOW = TrainingBenchmark(
    model_path="org/model",
    shape=SHAPE,
    num_iters=3,
    seconds_per_iter=70.0,
    iterations=(69.0, 70.0, 75.0),
    warmup=(80.0,),
    compile_seconds=4.0,
    load_seconds=12.0,
    total_seconds=400.0,
    peak_memory_bytes=21_300_000_000,
    machine={"device": "gpu"},
)
RATE = Quartiles(least=90.0, low=95.0, median=100.0, high=105.0, most=110.0, n=3)
RESULT = BenchmarkResult(
    id="20261121-101500-ab12",
    created_at="2026-11-21T10:15:00.000+00:00",
    model=ModelIdentity(name="org/model", backend="mlx", parameters=3_000_000_000, dtype="4-bit"),
    conditions=Conditions(
        power=Power.BATTERY,
        battery_percent=40,
        heat=Heat.NORMAL,
        free_memory_bytes=9_000_000_000,
        busy=0.03,
        load_average=1.5,
        cores=8,
        warnings=("the machine runs on its battery (40 %), which may slow it down",),
    ),
    status=RunStatus.DONE,
    training=SLOW,
    grid=(
        GridCell(shape=SHAPE, end=CellEnd.MEASURED, measured=SLOW),
        GridCell(
            shape=SHAPE.model_copy(update={"seq": 512}),
            end=CellEnd.OUT_OF_MEMORY,
            why="the worker was killed | by <b>the system</b>",
        ),
        GridCell(
            shape=SHAPE.model_copy(update={"batch": 1}),
            end=CellEnd.TOO_SLOW,
            seconds_at_least=61.0,
            why="one iteration takes more than 60 s",
        ),
    ),
    serving=ServingBenchmark(
        start_seconds=3.0,
        cells=(
            ServingCell(
                prompt_tokens=128,
                concurrency=1,
                end=CellEnd.MEASURED,
                requests=3,
                prompt_rate=RATE,
                generation_rate=RATE,
                throughput=RATE,
                first_token_s=Quartiles(least=0.5, low=0.5, median=0.5, high=0.5, most=0.5, n=3),
            ),
            ServingCell(
                prompt_tokens=2048, concurrency=8, end=CellEnd.LEFT_OUT, why="no time for it"
            ),
        ),
    ),
    decision=Decision(
        pace=Pace.CHANGE,
        seconds_per_iter=70.0,
        sentence="1 min 10 s per iteration: too slow: change something.",
        advice=("shorter rows: …",),
    ),
)


@pytest.mark.parametrize("columns", [40, 100])
def test_the_table_fits_and_says_everything(columns: int) -> None:
    console = Console(width=columns, color_system=None, record=True, file=io.StringIO())
    console.print(BenchmarkTable(RESULT))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= columns
    flat = " ".join(text.split())
    for words in (
        "too slow: change something",
        "→ shorter rows",
        "21.3 GB",
        "out of memory",
        "> 61",
        "left out, no time for it",
        "battery at 40 %",
        "! the machine runs on its battery",
    ):
        assert words in flat


def test_markdown_keeps_what_is_hostile_inert() -> None:
    text = benchmark_markdown(RESULT)
    assert "<b>" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert any("out of memory" in row for row in rows)
    assert "### Serving" in text
    assert "battery at 40 %" in text

"""From the command to the first iteration, measured against `mlx_lm.lora`.

python tests/bench/bench_train_start.py [--fast] [--rounds N]

SmolLM2-135M, the same chats, OpenBLAS in both. punie reads, renders and checks every row and tries
the longest batch first; that probe is taken off, because mlx_lm has nothing like it. mlx_lm gets no
validation set, so that its first validation does not count. `--fast` takes the tiny model.

The last line of stdout is one JSON object.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_eval import BenchFailed, Row, show

from punie.backends.blas import find_openblas
from punie.models.catalog import BUILTINS
from punie.models.pull import pull_builtin
from punie.records.training import TRAIN_EVENT, Probed, Step

ROWS = 160
NAME = "bench"
DEADLINE_S = 300.0


def write_rows(folder: Path) -> None:
    """Chats of the length that small tasks have."""
    folder.mkdir(parents=True)
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for i in range(ROWS):
            asked = f"Machine {i} in hall {i % 7} is at {i * 13 % 101} degrees. What now?"
            answer = f"Stop machine {i} and open the vents of hall {i % 7} for {i % 9 + 2} minutes."
            turns = [("user", asked), ("assistant", answer)]
            row = {"messages": [{"role": role, "content": text} for role, text in turns]}
            file.write(json.dumps(row) + "\n")


def ours(model: Path, project: Path) -> float:
    """Seconds from the command to the end of the first iteration, without the probe."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PUNIE_")}
    argv = [sys.executable, "-m", "punie", "train", "rows", "--model", str(model), "--name", NAME]
    began = time.time()
    child = subprocess.Popen(
        [*argv, "--iterations", "1"],
        cwd=project,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    events = project / "adapters" / f".{NAME}.training" / "events.jsonl"
    probe = 0.0
    while time.time() - began < DEADLINE_S:
        for line in _lines(events):
            event = TRAIN_EVENT.validate_json(line)
            if isinstance(event, Probed):
                probe = event.seconds + event.first_seconds
            if isinstance(event, Step):
                took = time.time() - began - probe
                child.communicate()
                shutil.rmtree(project / "adapters")
                return took
        if child.poll() is not None:
            break
        time.sleep(0.005)
    raise BenchFailed(f"punie train: {child.communicate()[1].decode()}")


def _lines(path: Path) -> list[bytes]:
    """The whole lines that are there so far."""
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except OSError:
        return []


def theirs(model: Path, project: Path) -> float:
    """Seconds from the command to the report of the first iteration."""
    argv = [sys.executable, "-m", "mlx_lm", "lora", "--train", "--model", str(model)]
    argv += ["--data", str(project / "data" / "rows"), "--iters", "1", "--steps-per-report", "1"]
    argv += ["--adapter-path", str(project / "theirs"), "--mask-prompt", "--batch-size", "4"]
    layers = json.loads((model / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"]
    argv += ["--num-layers", str(min(16, layers))]
    blas = find_openblas()
    env = {**os.environ, "HF_HUB_OFFLINE": "1"} | ({"LD_PRELOAD": str(blas)} if blas else {})
    began = time.perf_counter()
    child = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert child.stdout is not None
    said = b""
    while chunk := os.read(child.stdout.fileno(), 65536):
        said += chunk
        # The head of its table, then the row of the first iteration.
        if said.partition(b"train_loss")[2].count(b"\n") >= 2:
            took = time.perf_counter() - began
            child.communicate()
            shutil.rmtree(project / "theirs")
            return took
    raise BenchFailed(f"mlx_lm.lora: {said.decode()[-2000:]}")


def main() -> int:
    """Take turns, and compare the fastest of each."""
    options = argparse.ArgumentParser(description="Time the way to the first iteration.")
    options.add_argument("--fast", action="store_true")
    options.add_argument("--rounds", type=int, default=3)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="punie-bench-") as folder:
        project = Path(folder)
        write_rows(project / "data" / "rows")
        if asked.fast:
            model = project / "tiny"
            worker = [sys.executable, "-m", "punie.backends.workers.tiny", str(model)]
            subprocess.run(worker, check=True, stdout=subprocess.DEVNULL)
        else:
            model = pull_builtin(BUILTINS["smollm2-135m"])
        both = [(ours(model, project), theirs(model, project)) for _ in range(asked.rounds)]
    own, other = (min(times) for times in zip(*both, strict=True))
    rows = [
        Row("start_s", "first iteration, without the probe", own, None, "s"),
        Row("lora_start_s", "  mlx_lm.lora, same rows", other, None, "s"),
        Row("start_ratio", "  ratio", own / other, None if asked.fast else 1.3, "x"),
    ]
    return show("train_start", rows)


if __name__ == "__main__":
    sys.exit(main())

"""What `punie eval` costs, measured against the least that it could cost.

python tests/bench/bench_eval.py [--fast] [--rounds N]

An instant fake server runs in a process of its own. Every program is measured from outside, whole,
start and imports included, as user + system time and peak memory that the kernel reports when it
ends. What a prompt costs is the slope between two sizes, so the start does not count there. Each
measurement is taken `--rounds` times, punie and yardstick in turn, and the smallest counts: other
work on the machine only ever adds. `--fast` leaves out the real server, which needs mlx, and
whose model needs the network on the first run.

The last line of stdout is one JSON object. This module imports only the standard library, because
on Linux a child's peak memory is at least that of the process which started it.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FAKE = HERE.parent / "fake_server.py"
CONCURRENCY = 16
SMALL, LARGE = 1000, 5000
REAL_MODEL, REAL_TOKENS = "smollm2-135m", 64
REAL_PROMPTS = (
    "What is {n} plus 14? Answer briefly.",
    "Write a Python function that multiplies its argument by {n}.",
    "Name {n} animals that live in the sea, one a line, and say a word about each of them.",
    "Explain to a child of {n} years why the sky is blue. Use simple words and one example.",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one program cost: seconds of CPU, seconds on the clock, bytes at its peak."""

    cpu_s: float
    wall_s: float
    peak_bytes: int
    stdout: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `target` is the most that `value` may be."""

    key: str
    label: str
    value: float
    target: float | None
    unit: str


class BenchFailed(Exception):  # noqa: N818 - it reads as what happened
    """A program that was to be measured failed, so there is nothing to compare."""


def run(argv: Sequence[str | Path], folder: Path) -> Cost:
    """Run a program in `folder` to its end. Raises BenchFailed unless it exits with 0."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PUNIE_")}
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = subprocess.Popen(argv, cwd=folder, env=env, stdout=out, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began
        out.seek(0)
        err.seek(0)
        if child.returncode != 0:
            command = " ".join(str(word) for word in argv)
            said = (out.read() + err.read())[-2000:]
            raise BenchFailed(f"{command}: exit {child.returncode}\n{said}")
        unit = 1 if sys.platform == "darwin" else 1024
        cpu_s = usage.ru_utime + usage.ru_stime
        return Cost(cpu_s, wall_s, usage.ru_maxrss * unit, out.read())


def punie(*words: str | Path) -> list[str | Path]:
    return [Path(sys.executable).with_name("punie"), *words]


def evaluation(suite: Path, port: int) -> list[str | Path]:
    url = f"http://127.0.0.1:{port}/v1"
    flags = ["--model", "m", "--concurrency", str(CONCURRENCY), "--no-checks", "--json"]
    return punie("eval", suite, "--url", url, *flags)


@contextlib.contextmanager
def fake_server(*flags: str | Path) -> Generator[int]:
    """Run the fake in a process of its own and give its port."""
    argv = [sys.executable, FAKE, *flags]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield json.loads(child.stdout.readline())["port"]
        finally:
            child.terminate()


def write_chats(file: Path, count: int) -> Path:
    """A suite of `count` short chats that differ, each with an answer to score against."""
    with file.open("w", encoding="utf-8") as lines:
        for n in range(count):
            asked = {"role": "user", "content": f"What is {n} times 7? Answer briefly."}
            answer = {"role": "assistant", "content": str(n * 7)}
            lines.write(json.dumps({"messages": [asked, answer]}) + "\n")
    return file


def record_requests(folder: Path, suite: Path) -> Path:
    """The bodies that `punie eval` sends for `suite`, as JSON lines; warms every cache too."""
    log, bodies = folder / "log.jsonl", folder / "bodies.jsonl"
    with fake_server("--log", log) as port:
        run(evaluation(suite, port), folder)
    with log.open(encoding="utf-8") as seen, bodies.open("w", encoding="utf-8") as file:
        for line in seen:
            body = json.loads(line)["body"]
            if "times 7" in json.dumps(body.get("messages")):
                file.write(json.dumps(body) + "\n")
    return bodies


def against_the_fake(folder: Path, rounds: int) -> list[Row]:
    """CPU and memory per prompt, and what one prompt costs from start to end."""
    one = write_chats(folder / "one.jsonl", 1)
    suites = {n: write_chats(folder / f"chats{n}.jsonl", n) for n in (SMALL, LARGE)}
    bodies = record_requests(folder, suites[LARGE])
    ours: dict[int, list[Cost]] = {SMALL: [], LARGE: []}
    bare: dict[int, list[Cost]] = {SMALL: [], LARGE: []}
    with fake_server() as port:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        loop = [sys.executable, HERE / "bare_loop.py", url, bodies]
        for _ in range(rounds):
            for n, suite in suites.items():
                # Each run starts in an empty project: a growing database is not what is measured.
                shutil.rmtree(folder / ".punie", ignore_errors=True)
                ours[n].append(run(evaluation(suite, port), folder))
                bare[n].append(run([*loop, str(n), str(CONCURRENCY)], folder))
        single = [run(evaluation(one, port), folder) for _ in range(rounds)]
    our_ms, bare_ms = slope_ms(ours), slope_ms(bare)
    grown = min(c.peak_bytes for c in ours[LARGE]) - min(c.peak_bytes for c in ours[SMALL])
    alone = min(cost.cpu_s for cost in single)
    return [
        Row("cpu_ms_per_prompt", "CPU per prompt", our_ms, 0.85, "ms"),
        Row("bare_loop_ms", "  the same requests, bare client", bare_ms, None, "ms"),
        Row("cpu_ratio", "  ratio", our_ms / bare_ms, 1.6, "x"),
        Row("one_prompt_cpu_s", "one prompt, start to end, CPU", alone, 0.45, "s"),
        Row("memory_growth_mb", f"memory, {SMALL} to {LARGE} prompts", grown / 1e6, 8.0, "MB"),
    ]


def slope_ms(costs: dict[int, list[Cost]]) -> float:
    """Milliseconds of CPU per prompt between the two sizes."""
    small, large = (min(cost.cpu_s for cost in costs[n]) for n in (SMALL, LARGE))
    return (large - small) / (LARGE - SMALL) * 1e3


def help_text(folder: Path, rounds: int) -> Row:
    run(punie("--help"), folder)
    cheapest = min(run(punie("--help"), folder).cpu_s for _ in range(2 * rounds))
    return Row("help_cpu_ms", "punie --help, CPU", cheapest * 1e3, 100.0, "ms")


def against_the_model(folder: Path, rounds: int) -> list[Row]:
    """Wall time on a real model, against generating the same answers without any server."""
    chats = folder / "real.jsonl"
    with chats.open("w", encoding="utf-8") as lines:
        for n in range(32):
            text = REAL_PROMPTS[n % len(REAL_PROMPTS)].format(n=n + 3)
            lines.write(json.dumps({"messages": [{"role": "user", "content": text}]}) + "\n")
    pulled = run(punie("models", "pull", REAL_MODEL), folder).stdout.splitlines()[-1]
    limits = [str(REAL_TOKENS), str(CONCURRENCY)]
    yardstick = [sys.executable, HERE / "batch_generate.py", pulled, chats, *limits]
    flags = ["--model", REAL_MODEL, "--max-tokens", limits[0], "--concurrency", limits[1]]
    served: list[dict[str, Any]] = []
    direct: list[dict[str, Any]] = []
    for _ in range(rounds):
        answer = run(punie("eval", chats, *flags, "--json"), folder).stdout
        served.append(json.loads(answer)["data"]["run"]["summary"])
        direct.append(json.loads(run(yardstick, folder).stdout.splitlines()[-1]))
    wall = min(each["wall_s"] for each in served)
    least = min(each["wall_s"] for each in direct)
    return [
        Row("real_wall_s", f"{REAL_MODEL}, 32 prompts, wall", wall, None, "s"),
        Row("real_tokens", "  tokens written", served[0]["tokens_out"], None, ""),
        Row("batch_generate_wall_s", "  batch_generate, wall", least, None, "s"),
        Row("batch_generate_tokens", "  tokens written", direct[0]["tokens"], None, ""),
        Row("real_wall_ratio", "  ratio of walls", wall / least, 1.10, "x"),
    ]


def self_checks(folder: Path, rounds: int) -> Row:
    """What the self-checks before an eval take, on the real server with a model that costs nothing.

    With an adapter there would be two questions more.
    """
    tiny = folder / "tiny"
    run([sys.executable, "-m", "punie.backends.workers.tiny", tiny], folder)
    eval_quick = punie("eval", "quick", "--model", tiny, "--json")
    runs = [json.loads(run(eval_quick, folder).stdout)["data"]["run"] for _ in range(rounds)]
    if any(each["checks"]["skipped"] for each in runs):
        raise BenchFailed("the self-checks were skipped")
    seconds = min(each["checks"]["seconds"] for each in runs)
    return Row("self_checks_s", "self-checks, tiny model", seconds, 3.0, "s")


def show(bench: str, rows: Sequence[Row]) -> int:
    """Print the rows as a table and as one line of JSON; 1 if a target is missed."""
    sys.stdout.write(f"{'':36}{'measured':>12}{'at most':>12}\n")
    for row in rows:
        target = "" if row.target is None else f"{row.target:g} {row.unit}"
        verdict = "" if row.target is None else "  ok" if row.value <= row.target else "  MISSED"
        sys.stdout.write(
            f"{row.label:36}{f'{row.value:.4g} {row.unit}':>12}{target:>12}{verdict}\n"
        )
    met = all(row.value <= row.target for row in rows if row.target is not None)
    values = {row.key: round(row.value, 4) for row in rows}
    sys.stdout.write(json.dumps({"bench": bench, **values, "targets_met": met}) + "\n")
    return int(not met)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what `punie eval` costs.")
    parser.add_argument("--fast", action="store_true", help="leave out the real server")
    parser.add_argument("--rounds", type=int, default=3, help="the smallest of so many counts")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="punie-bench-") as name:
            folder = Path(name)
            rows = [*against_the_fake(folder, options.rounds), help_text(folder, options.rounds)]
            if not options.fast:
                rows.append(self_checks(folder, options.rounds))
                rows += against_the_model(folder, min(options.rounds, 2))
    except BenchFailed as failure:
        sys.exit(f"bench: {failure}")
    sys.exit(show("eval", rows))


if __name__ == "__main__":
    main()

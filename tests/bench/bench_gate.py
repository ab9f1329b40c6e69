"""How often a verdict is wrong, by simulation with punie's own rules, and what it costs.

python tests/bench/bench_gate.py [--fast] [--rounds N]

- The gate: two runs of 50 to 400 prompts, of which 10 to 30 % come out differently. How often does
  a model that lost the whole margin (5 points) pass, and one that did not change fail? One category
  and four (the headline is the mean over categories), base models that are right in half and in
  four of five cases, graded scores whose losses are rare and large, prompts that share passages.
- The sequential test: how many prompts decide a gain of 25 points, and how often it decides between
  equal models, over all looks.
- Speed: 10,000 bootstrap samples at 1,000 values; `punie compare` of two runs of 5,000 prompts.

Everything is drawn from one seed. `--fast` leaves out `punie compare` and three quarters of the
rounds. The last line of stdout is one JSON object; the exit code is 1 if a target is missed.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import fmean, median

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench_eval import BenchFailed, Row, fake_server, punie, run, show, write_chats

from gate_simulation import KINDS, prompts_until_decided, right_or_wrong
from punie.analysis.bootstrap import median_draws, studentized_draws
from punie.analysis.rule import holds_margin
from punie.analysis.sequential import ALPHA
from punie.records.gate import Verdict

SEED = 20261121
MARGIN = 0.05
SIZES, DISCORDANCES = (50, 100, 200, 400), (0.1, 0.2, 0.3)
ROUNDS = 2000
COMPARED = 5000


@dataclass(frozen=True, slots=True)
class Cell:
    """What became of the models of one cell, as shares."""

    kind: str
    n: int
    discordance: float
    regressed_passed: float
    unchanged_failed: float
    unchanged_passed: float


def cells(rounds: int) -> Iterator[Cell]:
    """Every kind of answers, number of prompts and discordance."""
    for kind, n, discordance in product(KINDS, SIZES, DISCORDANCES):
        draw = random.Random(f"{SEED} {kind} {n} {discordance}")

        def verdicts(loss: float) -> list[Verdict]:
            made = (KINDS[kind](draw, n, discordance, loss) for _ in range(rounds))  # noqa: B023 - used in this turn of the loop
            return [holds_margin(each, MARGIN) for each in made]

        regressed, unchanged = verdicts(MARGIN), verdicts(0.0)
        yield Cell(
            kind,
            n,
            discordance,
            regressed.count(Verdict.PASS) / rounds,
            unchanged.count(Verdict.FAIL) / rounds,
            unchanged.count(Verdict.PASS) / rounds,
        )
        right_or_wrong.cache_clear()


def gate(rounds: int) -> list[Row]:
    """Print the table, and give the means over its cells and the worst of them."""
    sys.stdout.write(
        f"gate with a margin of {100 * MARGIN:g} points, {rounds} runs a cell\n"
        f"{'':20}{'n':>5}{'differ':>8}{'lost 5 points':>15}{'unchanged':>11}{'unchanged':>11}\n"
        f"{'':20}{'':>5}{'':>8}{'passes':>15}{'fails':>11}{'passes':>11}\n"
    )
    found: list[Cell] = []
    for cell in cells(rounds):
        found.append(cell)
        sys.stdout.write(
            f"{cell.kind:20}{cell.n:5}{cell.discordance:8.0%}{cell.regressed_passed:15.1%}"
            f"{cell.unchanged_failed:11.1%}{cell.unchanged_passed:11.1%}\n"
        )
        sys.stdout.flush()
    passed = [100 * cell.regressed_passed for cell in found]
    failed = [100 * cell.unchanged_failed for cell in found]
    return [
        Row("gate_regression_passes", "lost the margin and passes", fmean(passed), 6.0, "%"),
        Row("gate_regression_worst", "  in the worst cell", max(passed), 10.0, "%"),
        Row("gate_unchanged_fails", "unchanged and fails", fmean(failed), 1.0, "%"),
        Row("gate_unchanged_worst", "  in the worst cell", max(failed), None, "%"),
    ]


def sequential(rounds: int) -> list[Row]:
    """How many prompts decide a large gain, and how often equal models are told apart."""
    rows: list[Row] = []
    for discordance in (0.25, 0.3, 0.35):
        draw = random.Random(f"{SEED} {discordance}")
        shares = (discordance + 0.25) / 2, (discordance - 0.25) / 2
        needed = [prompts_until_decided(draw, *shares, 1000)[0] or 1000 for _ in range(rounds)]
        label = f"prompts for 25 points, {discordance:.0%} differ"
        rows.append(
            Row(f"sequential_median_{discordance:.2f}", label, median(needed), 45.0, "median")
        )
    for discordance in DISCORDANCES:
        draw = random.Random(f"{SEED} equal {discordance}")
        ended = [
            prompts_until_decided(draw, discordance / 2, discordance / 2, 2000)[0]
            for _ in range(rounds)
        ]
        wrong = 100 * sum(each is not None for each in ended) / rounds
        label = f"equal models decided, {discordance:.0%} differ"
        rows.append(Row(f"sequential_null_{discordance:.1f}", label, wrong, 100 * ALPHA, "%"))
    return rows


def bootstrap() -> list[Row]:
    """CPU of 10,000 samples at 1,000 values, the smallest of five counts."""
    values = [random.Random(SEED).lognormvariate(0, 0.3) for _ in range(1000)]
    rows: list[Row] = []
    for name, draws in (("mean", studentized_draws), ("median", median_draws)):
        took: list[float] = []
        for _ in range(5):
            began = time.process_time()
            draws(values, seed=SEED)
            took.append(time.process_time() - began)
        label = f"10,000 bootstrap samples, {name} of 1,000"
        rows.append(Row(f"bootstrap_{name}_s", label, min(took), 0.5, "s"))
    return rows


def comparing() -> list[Row]:
    """Two runs of 5,000 prompts in `punie compare`: seconds on the clock, memory at the peak."""
    with tempfile.TemporaryDirectory(prefix="punie-gate-") as name, fake_server() as port:
        folder = Path(name)
        suite = write_chats(folder / "chats.jsonl", COMPARED)
        flags = ["--url", f"http://127.0.0.1:{port}/v1", "--concurrency", "16", "--no-checks"]
        for model in ("one", "two"):
            run(punie("eval", suite, *flags, "--model", model, "--json"), folder)
        costs = [run(punie("compare", "last~1", "last", "--json"), folder) for _ in range(3)]
    peak = min(each.peak_bytes for each in costs) / 1e6
    label = f"punie compare, {COMPARED:,} prompts"
    return [
        Row("compare_s", label, min(each.wall_s for each in costs), 2.0, "s"),
        Row("compare_cpu_s", "  CPU", min(each.cpu_s for each in costs), None, "s"),
        Row("compare_mb", "  memory at the peak", peak, 150.0, "MB"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how often a verdict is wrong.")
    parser.add_argument("--fast", action="store_true", help="a quarter of the rounds, no compare")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    rounds = options.rounds // 4 if options.fast else options.rounds
    try:
        # First, because a child's peak of memory is at least that of the process which started it.
        rows = [] if options.fast else comparing()
    except BenchFailed as failed:
        sys.exit(str(failed))
    return show("gate", [*gate(rounds), *sequential(rounds), *bootstrap(), *rows])


if __name__ == "__main__":
    sys.exit(main())

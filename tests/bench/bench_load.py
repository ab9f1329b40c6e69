"""What `punie eval` holds: many clients, many prompts, and endpoints that are slow and flaky.

python tests/bench/bench_load.py [--prompts N] [--fast]

- Memory and CPU for 10,000 prompts at 64 clients against the instant fake, and the CPU per prompt
  against that at 16 clients.
- Time against an endpoint whose answers take 20 to 2000 ms, of whose connections 5 % are reset, and
  which refuses everything with 429 for half a second of every five. The ideal is computed from the
  very same waits: 64 clients that are never idle, lose no time by a reset, and come back at the
  moment that a storm ends.

The last line of stdout is one JSON object; the exit code is 1 if a target is missed.
"""

import argparse
import heapq
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench_eval import Cost, Row, fake_server, punie, run, show, write_chats

from fake_server import Behaviour, FakeServer

FLAKY = Behaviour(
    first_token_s=0.02, slowest_s=2.0, reset_share=0.05, storm_every_s=5.0, storm_s=0.5
)
FLAKY_PROMPTS = 2000
CLIENTS, FEWER = 64, 16
FEW = 1000


def evaluated(suite: Path, port: int, clients: int) -> tuple[Cost, dict[str, Any]]:
    """What an eval of `suite` cost, and its summary."""
    url = f"http://127.0.0.1:{port}/v1"
    flags = ["--model", "m", "--concurrency", str(clients), "--no-checks", "--json"]
    cost = run(punie("eval", suite, "--url", url, *flags), suite.parent)
    return cost, json.loads(cost.stdout)["data"]["run"]["summary"]


def many_clients(folder: Path, prompts: int, rounds: int) -> list[Row]:
    """Memory and CPU at 64 clients, and CPU at 16; of each the smallest of so many counts."""
    few, many = (write_chats(folder / f"chats{n}.jsonl", n) for n in (FEW, prompts))
    costs: dict[tuple[int, int], list[Cost]] = {}
    lost = 0
    with fake_server() as port:
        evaluated(few, port, FEWER)  # fills every cache
        for clients in (FEWER, CLIENTS) * rounds:
            for count, suite in ((FEW, few), (prompts, many)):
                cost, summary = evaluated(suite, port, clients)
                costs.setdefault((clients, count), []).append(cost)
                lost += count - int(summary["answered"])
    cpu = {key: min(each.cpu_s for each in all_of) for key, all_of in costs.items()}
    peak = {key: min(each.peak_bytes for each in all_of) for key, all_of in costs.items()}
    per_prompt = {
        clients: (cpu[clients, prompts] - cpu[clients, FEW]) / (prompts - FEW)
        for clients in (FEWER, CLIENTS)
    }
    grown = peak[CLIENTS, prompts] - peak[CLIENTS, FEW]
    ratio = per_prompt[CLIENTS] / per_prompt[FEWER]
    return [
        Row("load_prompts", f"prompts at {CLIENTS} clients", prompts, None, ""),
        Row("load_lost", "  results lost", lost, 0, ""),
        Row("load_growth_mb", f"  memory, {FEW} to {prompts} prompts", grown / 1e6, 50.0, "MB"),
        Row("load_cpu_ms", "  CPU per prompt", per_prompt[CLIENTS] * 1e3, None, "ms"),
        Row("load_cpu_ratio", f"  against {FEWER} clients", ratio, 1.3, "x"),
    ]


def flaky_endpoint(folder: Path) -> list[Row]:
    """Wall time against the ideal for the same waits, resets and storms."""
    suite = write_chats(folder / "flaky.jsonl", FLAKY_PROMPTS)
    flags = [
        *("--first-token-s", FLAKY.first_token_s, "--slowest-s", FLAKY.slowest_s),
        *("--reset-share", FLAKY.reset_share),
        *("--storm-every-s", FLAKY.storm_every_s, "--storm-s", FLAKY.storm_s),
    ]
    with fake_server(*map(str, flags)) as port:
        _, summary = evaluated(suite, port, CLIENTS)
    ideal_s = ideal(FLAKY_PROMPTS)
    retried = summary["retried"]
    return [
        Row("flaky_prompts", f"slow and flaky, {CLIENTS} clients", FLAKY_PROMPTS, None, ""),
        Row("flaky_lost", "  not answered", FLAKY_PROMPTS - summary["answered"], 0, ""),
        Row("flaky_retried", "  answered on a later try", retried, None, ""),
        Row("flaky_wall_s", "  wall", summary["wall_s"], None, "s"),
        Row(
            "flaky_ratio",
            f"  against the ideal {ideal_s:.1f} s",
            summary["wall_s"] / ideal_s,
            1.1,
            "x",
        ),
    ]


def ideal(prompts: int) -> float:
    """Seconds that clients which are never idle would take for the same waits."""
    fake = FakeServer(FLAKY)
    free = [0.0] * CLIENTS
    for _ in range(prompts):
        now = heapq.heappop(free)
        into = now % FLAKY.storm_every_s
        if into < FLAKY.storm_s:
            now += FLAKY.storm_s - into
        fake.chats += 1
        while fake.fault() == "reset":
            fake.chats += 1
        heapq.heappush(free, now + fake.wait_s())
    return max(free)


def main() -> int:
    """Run both and print a table."""
    parser = argparse.ArgumentParser(description="Measure what `punie eval` holds.")
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--fast", action="store_true", help="count the CPU once and not twice")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="punie-load-") as name:
        rounds = 1 if options.fast else 2
        rows = [*many_clients(Path(name), options.prompts, rounds), *flaky_endpoint(Path(name))]
    return show("load", rows)


if __name__ == "__main__":
    sys.exit(main())

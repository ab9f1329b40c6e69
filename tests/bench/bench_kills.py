"""How many kills `punie eval` survives: at every step that changes the disk, and at random moments.

python tests/bench/bench_kills.py [--random N] [--steps all|once|none] [--seed S]

The last line of stdout is one JSON object; the exit code is 1 if anything was lost or wrong.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from killing import Bench, Figures, fake_server


def main() -> int:
    """Run the kills and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=500)
    parser.add_argument("--steps", choices=["all", "once", "none"], default="all")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.monotonic()
    with fake_server() as url:
        steps = Figures()
        if given.steps != "none":
            bench = Bench(url, prompts=6, concurrency=1)
            bench.at_every_step(once=given.steps == "once")
            steps = bench.figures
        chance = Bench(url, prompts=60, concurrency=4)
        chance.at_random(given.random, given.seed)
    both = (steps, chance.figures)
    wrong = [each for figures in both for each in figures.wrong]
    data = {
        "step_kills": steps.kills,
        "steps": len(steps.labels),
        "random_kills": chance.figures.kills,
        "runs": sum(each.runs for each in both),
        "acknowledged": sum(each.acknowledged for each in both),
        "lost": sum(each.lost for each in both),
        "twice": sum(each.twice for each in both),
        "wrong": wrong[:5],
        "seconds": round(time.monotonic() - began, 1),
        "labels": sorted(steps.labels),
    }
    figures = (
        f"kills survived: {data['step_kills']} at {data['steps']} kinds of steps,"
        f" {data['random_kills']} at random moments; of {data['acknowledged']} acknowledged"
        f" results {data['lost']} lost, {data['twice']} twice; {len(wrong)} of {data['runs']}"
        f" runs wrong ({data['seconds']} s)"
    )
    sys.stdout.write(f"{figures}\n{json.dumps(data)}\n")
    return int(bool(wrong or data["lost"] or data["twice"]))


if __name__ == "__main__":
    sys.exit(main())

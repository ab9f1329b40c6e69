"""How many servers outlive a `punie eval` that is killed at a random moment.

python tests/bench/bench_orphans.py [--kills N] [--seed S]

Each eval serves the tiny model with the real `mlx_lm.server` and is ended by SIGKILL at a moment
drawn from its life: while Python starts, while the model loads, while prompts are asked. Five
seconds later none of its processes may be left: neither the server nor its guardian.

The last line of stdout is one JSON object; the exit code is 1 if anything was left.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

AT_ONCE = 3
LATEST_S = 6.0
"""By then an eval of the tiny model asks its prompts, even on two busy cores."""
REAPED_S = 5.0


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that was started for this eval, found by where it works."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == home and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def kill_one(model: Path, root: Path, number: int, delay_s: float) -> tuple[int, float, bool]:
    """Processes left after five seconds, seconds until none was, and whether a server ran."""
    home = root / str(number)
    (home / ".punie").mkdir(parents=True)
    suite = home / "suite.jsonl"
    with suite.open("w", encoding="utf-8") as lines:
        for n in range(2000):
            chat = [{"role": "user", "content": f"Say {n}."}]
            lines.write(json.dumps({"messages": chat}) + "\n")
    env = os.environ | {"PUNIE_STATE": str(home / "state")}
    punie = Path(sys.executable).with_name("punie")
    argv = [punie, "eval", str(suite), "--model", str(model), "--json"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(argv, cwd=home, env=env, stdout=quiet, stderr=quiet) as child:
        time.sleep(delay_s)
        served = len(processes_of(home)) > 1
        child.kill()
    began = time.monotonic()
    while (left := processes_of(home)) and time.monotonic() - began < REAPED_S:
        time.sleep(0.05)
    took = time.monotonic() - began
    for process in left:
        process.kill()
    return len(left), took, served


def main() -> int:
    """Kill, look, and print what was found."""
    parser = argparse.ArgumentParser(description="Look for servers that outlive punie.")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    delays = [draw.uniform(0, LATEST_S) for _ in range(options.kills)]
    with tempfile.TemporaryDirectory(prefix="punie-orphans-") as name:
        root = Path(name)
        model = root / "model"
        worker = [sys.executable, "-m", "punie.backends.workers.tiny", str(model)]
        subprocess.run(worker, check=True)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            kills = [pool.submit(kill_one, model, root, n, s) for n, s in enumerate(delays)]
            results = [kill.result() for kill in kills]
    orphans = sum(left for left, _, _ in results)
    slowest = max(took for _, took, _ in results)
    served = sum(ran for _, _, ran in results)
    sys.stdout.write(
        f"orphans: {orphans} after {options.kills} SIGKILLs of punie, {served} of them with a "
        f"server up; the slowest was gone after {slowest:.1f} s\n"
    )
    data = {"kills": options.kills, "orphans": orphans, "served": served}
    sys.stdout.write(json.dumps(data | {"slowest_s": round(slowest, 2)}) + "\n")
    return int(orphans > 0)


if __name__ == "__main__":
    sys.exit(main())

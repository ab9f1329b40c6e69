"""Every figure of punie, with one command: what it costs, and how far to trust it.

python tests/bench/bench.py [--fast]

All are run, whatever the first says; the exit code is 1 if a target was missed. `--fast`
leaves out the real model and nine tenths of the kills. Each ends with one line of JSON.
"""

import subprocess
import sys
from pathlib import Path

BENCHES = (
    "bench_eval.py",
    "bench_load.py",
    "bench_trust.py",
    "bench_gate.py",
    "bench_train.py",
    "bench_torch_train.py",
    "bench_train_start.py",
    "bench_backends.py",
)


def main() -> int:
    """Run them one after the other."""
    folder = Path(__file__).parent
    ended = [
        subprocess.run([sys.executable, folder / bench, *sys.argv[1:]], check=False).returncode
        for bench in BENCHES
    ]
    return int(any(ended))


if __name__ == "__main__":
    sys.exit(main())

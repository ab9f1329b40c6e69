"""The GPU memory of a server, as NVIDIA's driver reports it."""

import csv
import shutil
import subprocess

from punie.serving.memory import family

SMI_S = 5.0
QUERY = "--query-compute-apps=pid,used_memory"


def gpu_memory(pid: int) -> int | None:
    """Bytes that process `pid` holds on all GPUs now; None where the driver does not tell.

    Those that it started count too, as vLLM's engine.
    It does not in a container with process ids of its own. Starts a program: some 50 ms.
    """
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return None
    argv = [smi, QUERY, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(  # noqa: S603 - the driver's own program, found on the path
            argv, capture_output=True, text=True, timeout=SMI_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    used = [used_by(each, done.stdout) for each in family(pid)]
    return None if set(used) == {None} else sum(each or 0 for each in used)


def used_by(pid: int, text: str) -> int | None:
    """What `QUERY` says of one process, in CSV without units: a line for each GPU, in MiB."""
    used = None
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) == 2 and row[0] == str(pid) and row[1].isdecimal():  # [N/A] on some systems
            used = (used or 0) + (int(row[1]) << 20)
    return used

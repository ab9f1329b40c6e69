"""The memory of a server, now and at its peak, asked from the system."""

import contextlib
import ctypes
import ctypes.util
import os
import sys
from collections.abc import Callable
from pathlib import Path

RUSAGE_INFO_V4 = 4
_PHYS_FOOTPRINT = 9
_LIFETIME_MAX = 30
"""Where macOS' `rusage_info_v4` (sys/resource.h) holds `ri_phys_footprint` and
`ri_lifetime_max_phys_footprint`, counted in 64-bit words; the uuid before them is two of them."""
_RUSAGE_WORDS = 64


def peak_memory(pid: int) -> int | None:
    """Peak memory of process `pid` in bytes, or None where it is gone or the system does not tell.

    Linux: `VmHWM` of /proc/PID/status, the largest resident set so far, with those of its `family`,
    which vLLM has; their sum is no less than what they held at once. macOS
    (untested): the lifetime maximum of `phys_footprint`, which counts Metal's memory too, as
    Activity Monitor does.
    """
    if sys.platform.startswith("linux"):
        return _summed(_high_water_mark, pid)
    if sys.platform == "darwin":
        return _rusage(pid, _LIFETIME_MAX)
    return None


def current_memory(pid: int) -> int | None:
    """Memory that process `pid` holds now, in bytes; None as for `peak_memory`.

    Linux: the resident set, with those of its `family`. macOS (untested):
    `phys_footprint`.
    """
    if sys.platform.startswith("linux"):
        return _summed(_resident, pid)
    if sys.platform == "darwin":
        return _rusage(pid, _PHYS_FOOTPRINT)
    return None


def family(pid: int) -> list[int]:
    """A process and, on Linux, the living ones of the same program that its threads started.

    Another program is no part of the server: mlx runs a compiler, which takes more than a small
    model does.
    """
    found = [pid]
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended meanwhile
            for child in map(int, listed.read_text(encoding="ascii").split()):
                if _program(child) == _program(pid):
                    found += family(child)
    return found


def _program(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/exe").readlink()
    except OSError:  # it has ended meanwhile
        return None


def _summed(measure: Callable[[int], int | None], pid: int) -> int | None:
    """What a process and its descendants measure; None where it is gone itself."""
    own, *others = map(measure, family(pid))
    return None if own is None else own + sum(other or 0 for other in others)


def _high_water_mark(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _resident(pid: int) -> int | None:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE") or None


def _rusage(pid: int, word: int) -> int | None:
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    words = (ctypes.c_uint64 * _RUSAGE_WORDS)()
    if libc.proc_pid_rusage(pid, RUSAGE_INFO_V4, ctypes.byref(words)) != 0:
        return None
    return int(words[word]) or None

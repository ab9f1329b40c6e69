"""The peak memory of a process, asked from the system, so that nothing has to be sampled."""

import ctypes
import ctypes.util
import sys
from pathlib import Path

RUSAGE_INFO_V4 = 4
_WORDS_BEFORE_LIFETIME_MAX = 30
"""In macOS' `rusage_info_v4` (sys/resource.h) a 16-byte uuid and 64-bit fields come before
`ri_lifetime_max_phys_footprint`; counted in 64-bit words, the uuid being two of them."""
_RUSAGE_WORDS = 64


def peak_memory(pid: int) -> int | None:
    """Peak memory of process `pid` in bytes, or None where it is gone or the system does not tell.

    Linux: `VmHWM` of /proc/PID/status, the largest resident set so far. macOS (untested): the
    lifetime maximum of `phys_footprint`, which counts Metal's memory too, as Activity Monitor does.
    """
    if sys.platform.startswith("linux"):
        return _high_water_mark(pid)
    if sys.platform == "darwin":
        return _lifetime_footprint(pid)
    return None


def _high_water_mark(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _lifetime_footprint(pid: int) -> int | None:
    libc = ctypes.CDLL(ctypes.util.find_library("c"))
    words = (ctypes.c_uint64 * _RUSAGE_WORDS)()
    if libc.proc_pid_rusage(pid, RUSAGE_INFO_V4, ctypes.byref(words)) != 0:
        return None
    return int(words[_WORDS_BEFORE_LIFETIME_MAX]) or None

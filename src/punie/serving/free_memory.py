"""How much memory a child of ours could really get: what the machine has, and what we may use."""

import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PROC = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")
UNLIMITED = 2**60
"""cgroup v1 writes "no limit" as a number near 2**63."""


def free_memory() -> int:
    """Bytes that can be taken now without swapping.

    What the system calls available, and on Linux no more than the control groups of this process
    still allow: in a container the machine's free memory is not ours. On macOS (untested) this is
    all memory; Metal alone may use less, see `iogpu.wired_limit_mb`.
    """
    import psutil  # noqa: PLC0415 - only what starts or examines a server needs it

    free = int(psutil.virtual_memory().available)
    room = cgroup_room() if sys.platform.startswith("linux") else None
    return free if room is None else min(free, room)


def cgroup_room(proc: Path = PROC, mount: Path = MOUNT) -> int | None:
    """What the tightest control group around this process still allows, in bytes, or None.

    A group's page cache that nobody uses (`inactive_file`) counts as free: the kernel gives it up
    before it refuses memory. Sources: the kernel's cgroup-v2.rst and cgroup-v1/memory.rst.
    """
    rooms = [room for folder in _groups(proc, mount) if (room := _room(folder)) is not None]
    return min(rooms, default=None)


def _groups(proc: Path, mount: Path) -> Iterator[Path]:
    """The folders of this process' memory groups, from its own up to the mount's root."""
    try:
        lines = proc.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root = mount / "memory" if controllers else mount
        inside = PurePosixPath(path.lstrip("/"))
        # In a container the path may be the host's, and the mount already the group itself.
        for part in (inside, *inside.parents):
            yield root / part


def _room(group: Path) -> int | None:
    v2 = (group / "memory.max").exists()
    names = ("memory.max", "memory.current") if v2 else _V1
    limit, used = (_number(group / name) for name in names)
    if limit is None or used is None or limit >= UNLIMITED:
        return None
    unused_cache = _stat(group, "inactive_file" if v2 else "total_inactive_file")
    return max(0, limit - max(0, used - unused_cache))


_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def _number(path: Path) -> int | None:
    """The file's number; None where it is not there or says `max`."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _stat(group: Path, name: str) -> int:
    try:
        lines = (group / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return 0
    found = (line.split() for line in lines)
    return next((int(words[1]) for words in found if words[:1] == [name]), 0)

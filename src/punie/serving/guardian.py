"""Keeps one child from outliving punie: a script of the standard library, in its own session.

    python guardian.py GRACE_SECONDS EVENTS PROGRAM [ARG ...]

The guardian holds the reading end of a lifeline: its own stdin. While punie lives, the writing end
is open. When punie closes it, or dies in whatever way, the guardian reads end-of-file and ends the
child's process group: TERM, up to GRACE_SECONDS, KILL. So there is one way down for a clean stop
and for a crash, and nothing of it depends on punie still running.

It speaks JSON lines on EVENTS, a descriptor that the child inherits and may speak on too. Where no
descriptor can be inherited, because another program starts the guardian, EVENTS is the path of a
Unix socket: the connection is then the lifeline too, and the child is told its descriptor.

`{"event": "started", "pid": N}` and at the end `{"event": "exited", "code": N}`, with a negative
signal number for a child that a signal ended, as in `subprocess`.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
EVENTS_FD = "PUNIE_EVENTS_FD"


def die_with_parent() -> Callable[[], None] | None:
    """What the child does between fork and exec so that it dies if the guardian is killed.

    Linux only; elsewhere there is nothing like it: None.
    """
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask_the_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask_the_kernel


def emit(events_fd: int, **event: object) -> None:
    """Write one event as one line; nobody may be listening any more."""
    with contextlib.suppress(OSError):
        os.write(events_fd, (json.dumps(event) + "\n").encode())


def connected(path: str) -> tuple[int, int]:
    """A connection to the Unix socket at `path`: what to read from, and what to write to."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        descriptor = connection.detach()
    return descriptor, descriptor


def signal_group(pid: int, number: int) -> None:
    """Signal the child's whole process group, which may be gone already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def end_group(child: "subprocess.Popen[bytes]", grace: float) -> None:
    """TERM, wait at most `grace` seconds, then KILL what is left of the group."""
    signal_group(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    signal_group(child.pid, signal.SIGKILL)
    child.wait()


def wake_only(_number: int, _frame: object) -> None:
    """Handle SIGCHLD by doing nothing: the wake-up descriptor has ended the wait already."""


def main(argv: list[str]) -> int:
    """Start the child, wait for its exit or for the end of the lifeline, and end what is left."""
    grace, events, program = float(argv[1]), argv[2], argv[3:]
    lifeline, events_fd = (0, int(events)) if events.isdigit() else connected(events)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, wake_only)
    signal.set_wakeup_fd(wake)
    try:
        child = subprocess.Popen(  # noqa: S603 - punie gives the argv, no shell
            program,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(events_fd,),
            env={**os.environ, EVENTS_FD: str(events_fd)},
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - one thread, and only prctl is called
        )
    except OSError as error:
        emit(events_fd, event="exited", code=127, reason=str(error))
        return 0
    # Only now: a child started before this would inherit that it ignores TERM.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    emit(events_fd, event="started", pid=child.pid)
    while child.poll() is None:
        ready, _, _ = select.select([lifeline, woken], [], [])
        if lifeline in ready and not os.read(lifeline, 4096):
            break
        if woken in ready:
            os.read(woken, 4096)
    end_group(child, grace)
    emit(events_fd, event="exited", code=child.returncode)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

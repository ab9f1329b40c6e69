"""What a server holds, with the processes that it started."""

import subprocess
import sys

import pytest

from punie.serving.memory import current_memory, peak_memory

HELD = 64 * 2**20
HOLDER = f"held = bytearray({HELD}); print(len(held), flush=True); input()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDER!r}])"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells of children")
def test_the_memory_of_a_server_s_own_children_counts() -> None:
    argv = [sys.executable, "-c", PARENT]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) == HELD
        now, most = current_memory(parent.pid), peak_memory(parent.pid)
        parent.stdin.close()
    assert now is not None
    assert most is not None
    assert HELD < now <= most < 2 * HELD
    assert current_memory(parent.pid) is None

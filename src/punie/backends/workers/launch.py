"""Runs one training worker in several processes: `launch BACKEND N PROGRAM [ARG ...]`.

The processes are started by the engine's own launcher: `accelerate launch` for cuda, `mlx.launch`
with its ring for mlx. Neither lets a child inherit a descriptor, and neither ends a process the way
punie needs it: after the iteration, with a checkpoint. So each process runs under a guardian of its
own, which is given the path of a socket; this program listens there and stands for all of them:

- it passes what they say on to the descriptor that `PUNIE_EVENTS_FD` names;
- TERM and INT go to the workers, and not to the launcher;
- once one worker has died, the others have nobody to add up with: they are killed, and this program
  ends as the first one did, by the same signal or with the same exit code;
- when it ends itself, in whatever way, its sockets close, and the guardians end their workers.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from punie.backends.workers.train_lock import LAUNCH
from punie.backends.workers.train_program import PEER_LOST
from punie.serving.child import EVENTS_FD, GUARDIAN, MAX_EVENT
from punie.serving.guardian import die_with_parent

GRACE_S = 2.0
"""Of a worker whose launcher is gone: what may be saved was saved before."""
AFTER_S = 3.0
"""After one has ended: in which the others end too, or say why not."""
LAUNCHER_S = 1.0
"""After all have ended: mlx.launch passes on what they printed last, and ends; accelerate's waits
for itself, seconds on end."""
FILLER = b"\n" * 2**18
"""mlx.launch watches whether it could write to its processes' stdin, and as long as it can it does
nothing else, on a whole core. Nobody reads there, so once the pipe is full it waits."""


class Launched:
    """The workers, and what was heard of them."""

    def __init__(self, count: int, events: int) -> None:
        self._count, self._events = count, events
        self._stopping = False
        self._running: set[int] = set()
        self._codes: list[int] = []
        self.ended = asyncio.Event()
        """Once all have ended, or no further word is needed to know how it ended."""

    def stop(self) -> None:
        """Have every worker end after its iteration, those that are not there yet too."""
        self._stopping = True
        for pid in self._running:
            _signal(pid, signal.SIGTERM)

    def kill(self) -> None:
        """End every worker now."""
        for pid in self._running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)

    @property
    def code(self) -> int:
        """How it ended, as `Popen.returncode` has it: as the first that did not end well."""
        lost = [code for code in self._codes if code]
        return next((code for code in lost if code != PEER_LOST), lost[0] if lost else 0)

    async def listen(self, stream: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        """Hear one guardian and its worker to their end."""
        pid = 0
        while line := await stream.readline():
            match json.loads(line):
                case {"event": "started", "pid": int(started)}:
                    pid = started
                    self._running.add(pid)
                    if self._stopping:
                        _signal(pid, signal.SIGTERM)
                case {"event": "exited", "code": int(code)}:
                    self._running.discard(pid)
                    self._codes.append(code)
                    self._look(code)
                case _:
                    # Nobody may be listening any more: then our own guardian ends us.
                    with contextlib.suppress(OSError):
                        os.write(self._events, line)

    def _look(self, code: int) -> None:
        if len(self._codes) == self._count or code < 0:
            self.ended.set()
        else:
            asyncio.get_running_loop().call_later(AFTER_S, self.ended.set)


def launcher_argv(backend: str, count: int, program: Sequence[str], folder: Path) -> list[str]:
    """The launcher's command line; what it reads of its own is in `folder`, and nobody else's."""
    python = [sys.executable, "-P"]
    if backend == "mlx":
        port = str(_free_ports(count))
        launch = "from mlx._distributed_utils.launch import main; main()"
        argv = [*python, "-c", launch, "--backend", "ring", "-n", str(count)]
        return [*argv, "--starting-port", port, "--", *program]
    config = folder / "accelerate.yaml"
    # JSON is YAML. Without a file of ours accelerate takes the user's, which may say anything.
    config.write_text(json.dumps(accelerate_config(count)), encoding="utf-8")
    argv = [*python, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    return [*argv, "--main_process_port", "0", "--no_python", *program]


def accelerate_config(count: int) -> dict[str, object]:
    """Processes side by side on one machine; which device each takes is the worker's to say."""
    return {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "MULTI_GPU",
        "num_processes": count,
        "num_machines": 1,
        "machine_rank": 0,
        "mixed_precision": "no",
        "debug": False,
        "use_cpu": False,
    }


async def launch(backend: str, count: int, program: Sequence[str]) -> int:
    """Run `program` so many times until all have ended, or one has died; how that was."""
    launched = Launched(count, int(os.environ[EVENTS_FD]))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, launched.stop)
    with tempfile.TemporaryDirectory(prefix="punie-") as folder:
        at = Path(folder) / "events"
        guarded = [sys.executable, "-I", "-S", str(GUARDIAN), str(GRACE_S), str(at), *program]
        server = await asyncio.start_unix_server(launched.listen, at, limit=MAX_EVENT)
        launcher = await asyncio.create_subprocess_exec(
            *launcher_argv(backend, count, guarded, Path(folder)),
            stdin=asyncio.subprocess.PIPE,
            # In a session of its own: a TERM for our group is for the workers alone.
            start_new_session=True,
            preexec_fn=die_with_parent(),
            # mlx.launch leaves files behind in the folder for temporary files.
            env={**os.environ, "TMPDIR": folder, LAUNCH: folder},
        )
        assert launcher.stdin is not None
        if backend == "mlx":
            launcher.stdin.write(FILLER)
        gone, ended = (
            asyncio.create_task(launcher.wait()),
            asyncio.create_task(launched.ended.wait()),
        )
        await asyncio.wait({gone, ended}, return_when=asyncio.FIRST_COMPLETED)
        # What the last one said may still lie in its socket.
        await asyncio.wait({ended}, timeout=LAUNCHER_S)
        code = launched.code if ended.done() else gone.result() or 1
        launched.kill()
        ended.cancel()
        try:
            await asyncio.wait_for(gone, LAUNCHER_S)
        except TimeoutError:
            os.killpg(launcher.pid, signal.SIGKILL)
        server.close()
    return code


def _free_ports(count: int) -> int:
    """The first of so many ports in a row that are free."""
    while True:
        with contextlib.ExitStack() as held:
            try:
                first = held.enter_context(socket.create_server(("127.0.0.1", 0)))
                start = first.getsockname()[1]
                for port in range(start + 1, start + count):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except (OSError, OverflowError):
                continue
            return start


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> None:
    """End as the workers did, so that whoever waits for us learns what waiting for them tells."""
    code = asyncio.run(launch(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
    if code < 0:
        if -code not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()

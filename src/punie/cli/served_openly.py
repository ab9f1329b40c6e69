"""The life of one `punie serve`: a port, a model's server, the proxy before it, and a clean end."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.adapter import adapter_folder, base_of
from punie.cli.backend_option import backend_choice
from punie.cli.output import emit_json
from punie.cli.serving_line import status_line
from punie.cli.signals import Signals, signals
from punie.cli.starting import starting
from punie.errors import InputError
from punie.settings import Loaded

if TYPE_CHECKING:
    from punie.backends.local import LocalModel
    from punie.serving.proxy import Proxy

FIRST_PORT = 8642
PORTS = 10
BACKLOG = 128
FINISH_S = 5
"""What is in flight may go on for this long after Ctrl-C."""


@dataclass(frozen=True, slots=True)
class ServeWish:
    """What the command line asked for."""

    model: str | None
    adapter: Path | None
    port: int | None
    max_tokens: int
    backend: str | None = None
    quantization: str | None = None
    as_json: bool = False


def serve_openly(wish: ServeWish, settings: Loaded) -> None:
    """Serve until Ctrl-C, TERM, or the model's server is given up.

    Raises InputError for a port that is taken, ModelError or ServerError where nothing can be
    served (any more), KeyboardInterrupt where it was told to end at once.
    """
    from punie.backends.local import prepare
    from punie.cli.pulling import pulling
    from punie.models.catalog import DEFAULT_MODEL

    written = wish.adapter
    if written is None and wish.model is None and settings.values.adapter:
        written = Path(settings.values.adapter)  # of the project's model, and of no other
    adapter = adapter_folder(written, settings.project) if written else None
    with contextlib.closing(bound_socket(wish.port)) as listening:
        # Not within the event loop: what is downloaded here may take long, and Ctrl-C must end it.
        with pulling(silent=wish.as_json) as progress:
            own = base_of(adapter) if wish.adapter else None
            name = wish.model or own or settings.values.model or DEFAULT_MODEL
            how = backend_choice(
                settings.values, backend=wish.backend, quantization=wish.quantization
            )
            model = prepare(name, adapter, how=how, progress=progress)
        try:
            asyncio.run(_serve(model, listening, settings.project, wish))
        except asyncio.CancelledError:  # by a signal before it was ready, or by the second one
            raise KeyboardInterrupt from None


async def _serve(
    model: "LocalModel", listening: socket.socket, project: Path, wish: ServeWish
) -> None:
    from punie.backends.local import serve
    from punie.backends.preflight import cap_for_serving
    from punie.serving.registry import Kind, register

    port = int(listening.getsockname()[1])
    # It warns of each part that is sent to a client which has just left, and that is no news here.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    async with contextlib.AsyncExitStack() as stack:
        heard = stack.enter_context(signals())
        async with starting(model.identity.name, quiet=wish.as_json):
            cap = cap_for_serving(
                model.path,
                context=model.context_length,
                max_tokens=wish.max_tokens,
                adapter=model.adapter,
                how=model.how,
            )
            endpoint = await stack.enter_async_context(
                serve(model, log_file(port), memory_cap_bytes=cap)
            )
        from punie.serving.proxy import Proxy

        proxy = await stack.enter_async_context(
            Proxy(endpoint, name=shown_name(model), port=port, max_tokens=wish.max_tokens)
        )
        entry = register(
            pid=os.getpid(),
            port=port,
            model=model.identity.name,
            adapter=str(model.adapter) if model.adapter else None,
            project=project,
            kind=Kind.SERVE,
        )
        if entry is not None:
            stack.enter_context(entry)
        await _until_stopped(proxy, model, listening, heard, wish)


async def _until_stopped(
    proxy: "Proxy",
    model: "LocalModel",
    listening: socket.socket,
    heard: Signals,
    wish: ServeWish,
) -> None:
    """Answer until told to stop. Raises ServerError when the model's server is given up."""
    port = int(listening.getsockname()[1])
    async with listening_to(proxy, listening), status_line(proxy, port, quiet=wish.as_json):
        with heard.draining(said="") as stop:  # what is said depends on what is in flight
            _announce(proxy, model, port, wish)
            await _while_kept_up(proxy, stop)
        if proxy.tally.in_flight:
            click.echo(
                f"ending within {FINISH_S} s, after what is in flight; Ctrl-C again: at once",
                err=True,
            )


async def _while_kept_up(proxy: "Proxy", stop: asyncio.Event) -> None:
    """Wait for `stop`. Raises ServerError when the model's server is given up before."""
    keeping = asyncio.create_task(proxy.keep_up())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({keeping, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if keeping.done():
            keeping.result()
    finally:
        for task in (keeping, stopped):
            task.cancel()
        await asyncio.gather(keeping, stopped, return_exceptions=True)


def bound_socket(port: int | None) -> socket.socket:
    """Listen on `port` of this machine's own address, or on the first free one of the usual ten.

    Raises InputError, with who holds the port where that can be known.
    """
    candidates = [port] if port else range(FIRST_PORT, FIRST_PORT + PORTS)
    for candidate in candidates:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", candidate))
            listening.listen(BACKLOG)
        except PermissionError:
            listening.close()
            raise InputError(f"port {candidate} is for root only", hint="above 1023") from None
        except OSError:
            listening.close()
        else:
            return listening
    if port:
        raise InputError(
            f"port {port} is taken{_holder(port)}", hint="give another --port, or none"
        )
    last = FIRST_PORT + PORTS - 1
    raise InputError(f"ports {FIRST_PORT} to {last} are all taken", hint="give a free --port")


def _holder(port: int) -> str:
    import psutil

    from punie.serving.registry import running

    for entry in running():
        if entry.port == port:
            return f" by punie (pid {entry.pid}), which serves {entry.model}"
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.pid
            if listens and connection.laddr and connection.laddr[1] == port:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def log_file(port: int) -> Path:
    """Where the model's server writes; begun anew with each start on this port."""
    from punie.serving.registry import state_root

    folder = state_root() / "logs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = folder / f"serve-{port}.log"
    log.unlink(missing_ok=True)
    return log


def shown_name(model: "LocalModel") -> str:
    """What clients see: the model's name, without the folders before it, and its adapter's."""
    name = model.identity.name
    path = Path(name).expanduser()
    if path.is_absolute() or path.exists():
        name = path.resolve().name
    return f"{name}+{model.identity.adapter}" if model.identity.adapter else name


@asynccontextmanager
async def listening_to(proxy: "Proxy", listening: socket.socket) -> AsyncGenerator[None]:
    """Answer on a socket that listens, until the block ends and what is in flight after it."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            """Leave the signals to the command, which has more than this server to end."""
            yield

    config = uvicorn.Config(
        proxy.app,
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="critical",
        timeout_graceful_shutdown=FINISH_S,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:  # Ctrl-C again
            server.force_exit = True
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            raise


def _announce(proxy: "Proxy", model: "LocalModel", port: int, wish: ServeWish) -> None:
    base_url = f"http://127.0.0.1:{port}/v1"
    if wish.as_json:
        data = {
            "url": base_url,
            "model": proxy.name,
            "adapter": str(model.adapter) if model.adapter else None,
            "port": port,
            "pid": os.getpid(),
            "max_tokens": wish.max_tokens,
        }
        emit_json("serve", data)
        return
    from punie.cli.snippets import snippets

    click.echo(f"{proxy.name} is served at {base_url}", err=True)
    texts = snippets(base_url, proxy.name, context=model.context_length, tools=model.renders_tools)
    for client, text in texts.items():
        click.echo(f"# {client}\n{text}\n")

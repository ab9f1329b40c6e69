"""What `punie serve` shows while it runs."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from punie.cli.live import watched

if TYPE_CHECKING:
    from punie.serving.proxy import Proxy

SHOWN_EVERY_S = 1.0
LINE_EVERY_S = 60.0


@asynccontextmanager
async def status_line(proxy: "Proxy", port: int, *, quiet: bool) -> AsyncGenerator[None]:
    """Show what goes on: one line that is kept up on a terminal, elsewhere one now and then."""
    if quiet:
        yield
        return
    showing = asyncio.create_task(_live(proxy, port) if watched() else _lines(proxy))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        click.echo(f"served {status(proxy)}", err=True)


async def _live(proxy: "Proxy", port: int) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    told = 0
    console = Console(stderr=True, highlight=False)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while True:
            for line in _news(proxy, told):
                told += 1
                live.console.print(line, markup=False)
            # A narrow window leaves the name to what was said at the start.
            who = f"{proxy.name} :{port}" if console.width >= 80 else f":{port}"
            line = Text(f"{who} {status(proxy)}", no_wrap=True, overflow="ellipsis")
            live.update(line, refresh=True)
            await asyncio.sleep(SHOWN_EVERY_S)


async def _lines(proxy: "Proxy") -> None:
    told, counted, passed = 0, 0, 0.0
    while True:
        await asyncio.sleep(SHOWN_EVERY_S)
        passed += SHOWN_EVERY_S
        for line in _news(proxy, told):
            told += 1
            click.echo(line, err=True)
        if passed >= LINE_EVERY_S and proxy.tally.requests > counted:
            counted, passed = proxy.tally.requests, 0.0
            click.echo(status(proxy), err=True)


def _news(proxy: "Proxy", told: int) -> list[str]:
    """The incidents since the last look, e.g. that the server was started again, and why."""
    keeper = proxy.endpoint.keeper
    incidents = keeper.incidents[told:] if keeper else []
    return [f"{each.at[11:19]} UTC  {each.kind}: {each.what}" for each in incidents]


def status(proxy: "Proxy") -> str:
    """What was asked and what it costs, the most telling first, for a line that may be cut."""
    from punie.reporting.numbers import byte_size, compact, counted, duration

    tally, keeper = proxy.tally, proxy.endpoint.keeper
    parts = [counted(tally.requests, "request")]
    if keeper is not None and keeper.waiting:
        parts.insert(0, keeper.waiting)
    if tally.in_flight:
        parts.append(f"{tally.in_flight} in flight")
    if speed := tally.tokens_per_s:
        parts.append(f"{speed:.0f} tokens/s")
    if wrong := tally.failed + tally.refused:
        parts.append(f"{wrong} failed")
    parts.append(
        f"{compact(tally.prompt_tokens)} tokens in, {compact(tally.completion_tokens)} out"
    )
    if keeper is not None and keeper.memory_bytes:
        parts.append(byte_size(keeper.memory_bytes))
    parts.append(f"up {duration(tally.uptime_s)}")
    return " · ".join(parts)

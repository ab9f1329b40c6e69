"""Putting an eval together: what was asked for, a served model, a store, a report, an entry."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from punie.cli.live import showing, waiting_for
from punie.errors import InputError
from punie.evaluation.run import (
    DEFAULT_CONCURRENCY,
    Progress,
    new_run,
    new_run_id,
    run_evaluation,
)
from punie.records.run import EvalReport, Run, RunStatus
from punie.records.suite import EvalSuite
from punie.serving.endpoint import Endpoint
from punie.settings import EndpointSettings, Loaded, Settings
from punie.store.export import FORMATS, format_of
from punie.store.provenance import provenance
from punie.store.runs import RunStore
from punie.store.writer import OutcomeWriter

DEMO_MODEL = "smollm2-135m"
DEMO_SUITE = "quick"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asked for; None means: as configured."""

    suite: str | None = None
    model: str | None = None
    adapter: Path | None = None
    url: str | None = None
    backend: str | None = None
    category: tuple[str, ...] = ()
    role: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    sample: int | None = None
    seed: int | None = None
    repeats: int = 1
    temperature: float | None = None
    max_tokens: int | None = None
    concurrency: int | None = None
    tools: str | None = None
    output: Path | None = None
    journal: str | None = None
    quiet: bool = False
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """A finished eval and where its parts are."""

    report: EvalReport
    report_html: Path
    entry: Path | None
    output: Path | None
    warnings: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The data of the command's JSON envelope."""
        return {
            "run": self.report.run.model_dump(mode="json"),
            "report": str(self.report_html),
            "journal": str(self.entry) if self.entry else None,
            "output": str(self.output) if self.output else None,
        }


async def measure(wish: Wish, settings: Loaded) -> Measured:
    """Serve the model, ask the suite, keep and show what came back.

    Raises InputError for what cannot be asked, ModelError, ServerError or EndpointError where
    nothing can be measured, StoreError where nothing could be kept.
    """
    if wish.output:
        format_of(wish.output.name)
    suite = chosen_suite(wish, settings)
    with RunStore(settings.project) as store:
        run_id = new_run_id()
        folder = store.run_folder(run_id)
        folder.mkdir(parents=True)
        async with served(wish, settings, folder / "server.log") as endpoint:
            run = _head(wish, settings, suite, endpoint, run_id)
            store.create(run, suite)
            report = await _ask_all(wish, suite, endpoint, run, store)
        return _finish(wish, settings, store, report)


def chosen_suite(wish: Wish, settings: Loaded) -> EvalSuite:
    """The suite that was asked for, cut to the filters, with sampling overridden."""
    from punie.suites.catalog import find_suite
    from punie.suites.select import select

    name = wish.suite or settings.values.suite or DEMO_SUITE
    suite = find_suite(name, settings.project)
    suite = select(
        suite,
        category=wish.category,
        role=wish.role,
        tag=wish.tag,
        sample=wish.sample,
        seed=wish.seed or 0,
    )
    overrides = {
        name: value
        for name, value in settings.values.sampling.model_dump().items()
        if value is not None
    }
    flags = {"temperature": wish.temperature, "max_tokens": wish.max_tokens, "seed": wish.seed}
    overrides |= {name: value for name, value in flags.items() if value is not None}
    return with_sampling(suite, overrides)


def with_sampling(suite: EvalSuite, overrides: dict[str, Any]) -> EvalSuite:
    """The suite, sampled otherwise; an override of `max_tokens` counts for each of its prompts."""
    if not overrides:
        return suite
    from dataclasses import replace

    prompts = suite.prompts
    if "max_tokens" in overrides:
        prompts = tuple(replace(prompt, max_tokens=None) for prompt in prompts)
    sampling = suite.sampling.model_copy(update=overrides)
    return suite.model_copy(update={"sampling": sampling, "prompts": prompts})


@asynccontextmanager
async def served(wish: Wish, settings: Loaded, log: Path) -> AsyncGenerator[Endpoint]:
    """The endpoint that was asked for: a server of our own, or somebody else's."""
    backend = wish.backend or settings.values.backend
    if wish.url or backend == "endpoint":
        if wish.adapter:
            raise InputError(
                "--adapter is for models that punie serves, not for a URL",
                hint="start the server with the adapter, or drop --url",
            )
        async with _remote(wish, settings.values) as endpoint:
            yield endpoint
        return
    async with _local(wish, settings, log) as endpoint:
        yield endpoint


@asynccontextmanager
async def _remote(wish: Wish, values: Settings) -> AsyncGenerator[Endpoint]:
    from punie.backends.endpoint import EndpointBackend, EndpointConfig

    named = chosen_endpoint(wish.url, values)
    model = wish.model or named.model or values.model
    if not model:
        raise InputError(
            f"which model of {named.url}?", hint="give --model with the name that it goes by there"
        )
    key_env = named.key_env or "OPENAI_API_KEY"
    key = os.environ.get(key_env)
    if named.key_env and not key:
        raise InputError(
            f"{named.key_env}, the key of {named.url}, is not set",
            hint=f"export {named.key_env}=…",
        )
    config = EndpointConfig(
        url=named.url,
        model=model,
        api_key=key,
        prices=named.prices,
        requests_per_minute=named.requests_per_minute,
        timeout_s=named.timeout_s,
    )
    async with EndpointBackend().serve(config) as endpoint:
        yield endpoint


def chosen_endpoint(url: str | None, values: Settings) -> EndpointSettings:
    """What `--url` names: a URL, or a configured endpoint; without it OPENAI_BASE_URL or the only
    configured one.
    """
    known = values.endpoints
    if url is None:
        if base := os.environ.get("OPENAI_BASE_URL"):
            return EndpointSettings(url=base)
        if len(known) == 1:
            return next(iter(known.values()))
        raise InputError(
            "which endpoint?", hint="give --url, or set OPENAI_BASE_URL, or configure one endpoint"
        )
    if url in known:
        return known[url]
    if "://" not in url and known:
        raise InputError(
            f"no endpoint is called {url}", hint=f"configured: {', '.join(sorted(known))}"
        )
    return EndpointSettings(url=url)


@asynccontextmanager
async def _local(wish: Wish, settings: Loaded, log: Path) -> AsyncGenerator[Endpoint]:
    from punie.backends.mlx import MlxBackend, require_mlx
    from punie.cli.local_model import prepared
    from punie.serving.config import ServerConfig

    require_mlx()
    name = wish.model or settings.values.model or DEMO_MODEL
    adapter = wish.adapter or (Path(settings.values.adapter) if settings.values.adapter else None)
    demo = not (wish.model or settings.values.model)
    model = prepared(name, adapter, demo=demo, quiet=wish.quiet)
    config = ServerConfig(model=model.path, adapter=model.adapter, log=log)
    backend = MlxBackend(model.identity, tools=model.renders_tools)
    async with contextlib.AsyncExitStack() as stack:
        with waiting_for(f"starting mlx_lm.server with {name}", quiet=wish.quiet):
            endpoint = await stack.enter_async_context(
                backend.serve(config.scaled_to(model.weight_bytes))
            )
        yield endpoint


def _head(wish: Wish, settings: Loaded, suite: EvalSuite, endpoint: Endpoint, run_id: str) -> Run:
    run = new_run(
        suite,
        endpoint,
        run_id=run_id,
        concurrency=wish.concurrency or settings.values.concurrency or DEFAULT_CONCURRENCY,
        repeats=wish.repeats,
        tools=wish.tools or settings.values.tools,
    )
    selection: dict[str, str] = {
        name: ", ".join(value)
        for name, value in (("category", wish.category), ("role", wish.role), ("tag", wish.tag))
        if value
    }
    if wish.sample:
        selection |= {"sample": str(wish.sample), "seed": str(wish.seed or 0)}
    return run.model_copy(
        update={
            "selection": selection,
            "provenance": provenance(wish.argv, settings.project),
        }
    )


async def _ask_all(
    wish: Wish, suite: EvalSuite, endpoint: Endpoint, run: Run, store: RunStore
) -> EvalReport:
    """Run the evaluation with progress and Ctrl-C; whatever happens, the run's head says so."""
    progress = Progress(total=len(suite.prompts) * run.repeats)
    status = RunStatus.FAILED
    try:
        async with OutcomeWriter(store, run.id) as writer, showing(progress, quiet=wish.quiet):
            with _stop_on_signal() as stop:
                report = await run_evaluation(
                    suite, endpoint, run=run, record=writer.write, progress=progress, stop=stop
                )
        store.update(report.run)
    except asyncio.CancelledError:
        status = RunStatus.INTERRUPTED
        raise
    finally:
        if "report" not in locals():
            with contextlib.suppress(Exception):
                store.update(run.model_copy(update={"status": status}))
    return report


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[asyncio.Event]:
    """The first Ctrl-C (or TERM) asks the run to end after what is in flight, the second ends it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def interrupted() -> None:
        if stop.is_set():
            if task:
                task.cancel()
            return
        stop.set()
        click.echo(
            "ending after the prompts in flight; Ctrl-C again to end now (all is kept)", err=True
        )

    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, interrupted)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _finish(wish: Wish, settings: Loaded, store: RunStore, report: EvalReport) -> Measured:
    """Write what the run leaves behind: the HTML report, the results file, the journal entry."""
    run = report.run
    html = write_report(store, report, store.run_folder(run.id) / "report.html")
    if wish.output:
        write_results(store, run, wish.output)
    entry = None
    wanted = settings.values.journal.entries
    if wish.journal or (wanted == "always" and run.status is RunStatus.DONE):
        from punie.journal.entry import write_entry

        entry = write_entry(
            settings.project,
            report,
            store.rows(run.id),
            goal=wish.journal or f"Measure {run.model.name} on {run.suite_name}.",
            text=settings.values.journal.text,
        )
    return Measured(
        report=report,
        report_html=html,
        entry=entry,
        output=wish.output,
        warnings=tuple(_warnings(wish, report)),
        next_steps=tuple(_next_steps(report, html, entry, settings)),
    )


def write_report(store: RunStore, report: EvalReport, path: Path) -> Path:
    """Write the HTML report of a stored run, through a temporary file."""
    from punie.reporting.html import render_html

    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(render_html(report, store.rows(report.run.id)))
    temporary.replace(path)
    return path


def write_results(store: RunStore, run: Run, path: Path) -> None:
    """Write a run's outcomes in the format of the file's ending, its summary beside them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(FORMATS[format_of(path.name)](run, store.rows(run.id)))
        beside = path.with_name(f"{path.stem}.summary.json")
        beside.write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}",
            hint=f"the run is kept: punie runs export {run.id} --output FILE",
        ) from error


def _warnings(wish: Wish, report: EvalReport) -> Iterator[str]:
    run = report.run
    if wish.repeats > 1 and run.sampling.temperature == 0:
        yield "repeats at temperature 0 draw the same answer again; give --temperature to vary them"
    if run.status is RunStatus.FAILED:
        yield "the run ended early: nobody answered any more"


def _next_steps(
    report: EvalReport, html: Path, entry: Path | None, settings: Loaded
) -> Iterator[str]:
    run = report.run
    yield f"report   {_short(html)}"
    if entry:
        yield f"journal  {_short(entry)}"
    if run.model.builtin_demo and not settings.configured:
        yield "This was the demo model, not yours. Next:"
        yield "  punie report last --open"
        yield "  punie eval baseline --model PATH_OR_HUB_ID"
        yield '  punie eval baseline --model PATH_OR_HUB_ID --journal "first baseline"'
    elif report.summary.faults:
        yield f"  punie runs show {run.id}   what could not be measured, and why"


def _short(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)

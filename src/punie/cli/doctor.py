"""`punie doctor`: everything that an eval needs, looked at before it is needed."""

import asyncio
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.output import emit_json, out
from punie.errors import EXIT_GATE, EXIT_OK, EXIT_UNMEASURED, PunieError
from punie.records.checkup import Checkup, State, ok, problem

if TYPE_CHECKING:
    from punie.settings import EndpointSettings, Loaded

Probe = Callable[[], Iterable[Checkup | None]]
QLORA = "qlora"


@click.command("doctor")
@click.option("--selftest", is_flag=True, help="Also build, serve and measure a tiny model.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def doctor_command(*, selftest: bool, as_json: bool) -> int:
    """Look at everything that an eval needs, and name what mends each problem.

    Nothing is changed and nothing costs money: endpoints are asked for their list of models. Keys
    are never shown. Exit code 3 where something is a problem, 5 where the selftest fails.
    """
    from punie.cli.live import waiting_for
    from punie.reporting.checkup import checkup_table, summary_line

    settings, unreadable = _settings()
    with waiting_for("looking around, and measuring what computes here", quiet=as_json):
        lines = [*unreadable, *asyncio.run(_side_by_side(_probes(settings)))]
    failed = False
    console = out()
    if not as_json:
        console.print(checkup_table(lines, width=console.width), soft_wrap=False)
    if selftest:
        from punie.cli.selftest import selftest as run_selftest

        with waiting_for("selftest: a tiny model is built, served and measured", quiet=as_json):
            tried = [run_selftest()]
            if all(line.name != QLORA for line in lines):
                tried += _try_cuda(settings)
        failed = any(line.state is State.PROBLEM for line in tried)
        lines += tried
        if not as_json:
            console.print(checkup_table(tried, width=console.width), soft_wrap=False)
    problems = sum(line.state is State.PROBLEM for line in lines)
    if as_json:
        data = {"lines": [line.model_dump(mode="json") for line in lines], "problems": problems}
        emit_json("doctor", data)
    else:
        click.echo(summary_line(lines), err=True)
    if failed:
        return EXIT_UNMEASURED
    return EXIT_GATE if problems else EXIT_OK


def _settings() -> "tuple[Loaded, list[Checkup]]":
    """The project's settings; where they cannot be read, the defaults and a line that says so."""
    from punie.settings import Loaded, Settings, find_project, load_settings

    try:
        return load_settings(Path.cwd()), []
    except PunieError as error:
        mend = error.hint or "mend the file"
        line = problem("settings", error.message, mend)
        return Loaded(find_project(Path.cwd()), Settings(), {}), [line]


def _probes(settings: "Loaded") -> list[tuple[str, Probe]]:
    """What is looked at, in the order of the table, each by the name that its failure would get."""
    from punie.backends.checkup import check_mlx
    from punie.backends.choose import AUTO, usual_backend
    from punie.backends.cuda_checkup import check_cuda
    from punie.backends.vllm_python import check_vllm
    from punie.cli.environment import check_environment
    from punie.models.cache import cache_root
    from punie.models.checkup import check_caches
    from punie.models.hub import hub_is_offline
    from punie.serving.checkup import check_hub, check_proxies, check_servers
    from punie.store.checkup import check_database, check_disk

    values, project = settings.values, settings.project
    elsewhere = bool(values.endpoints or os.environ.get("OPENAI_BASE_URL"))
    remote = values.backend == "endpoint" or (elsewhere and values.model is None)
    backend = usual_backend() if values.backend == AUTO else values.backend
    probes: list[tuple[str, Probe]] = [
        ("environment", check_environment),
        ("mlx", lambda: check_mlx(needed=not elsewhere and backend == "mlx")),
        ("cuda", lambda: check_cuda(usual=backend == "cuda")),
    ]
    if backend == "cuda":
        probes.append((QLORA, lambda: _try_cuda(settings)))
    if vllm := values.vllm:
        probes.append(("vllm", lambda: [check_vllm(vllm)]))
    if not remote:
        probes.append(("memory", lambda: [_memory(settings)]))
    probes += [
        ("disk", lambda: [check_disk("project's disk", project)]),
        ("disk", lambda: [check_disk("cache's disk", cache_root())]),
        ("caches", check_caches),
        ("hub", lambda: [check_hub(offline=hub_is_offline())]),
        ("proxy", lambda: [check_proxies(os.environ)]),
    ]
    probes += [(f"endpoint {name}", probe) for name, probe in _endpoint_probes(settings)]
    probes += [
        ("project", lambda: [_project(settings)]),
        ("database", lambda: [check_database(project)]),
        ("journal", lambda: [_journal(project)]),
        ("servers", check_servers),
    ]
    return probes


def _try_cuda(settings: "Loaded") -> list[Checkup]:
    """A real training by QLoRA, where the cuda backend is installed: some seconds."""
    from punie.backends.cuda_checkup import try_training
    from punie.backends.installed import missing

    return [try_training(settings.values.device)] if missing("cuda") is None else []


async def _side_by_side(probes: list[tuple[str, Probe]]) -> list[Checkup]:
    """Every probe in a thread of its own; one that fails is a line like any other."""

    def tried(name: str, probe: Probe) -> list[Checkup]:
        try:
            return [line for line in probe() if line is not None]
        except PunieError as error:
            return [problem(name, error.message, error.hint)]
        except Exception as error:  # noqa: BLE001 - a doctor must not fall ill with the patient
            return [problem(name, f"could not be looked at: {type(error).__name__}: {error}")]

    found = await asyncio.gather(*(asyncio.to_thread(tried, *each) for each in probes))
    return [line for lines in found for line in lines]


def _endpoint_probes(settings: "Loaded") -> list[tuple[str, Probe]]:
    from punie.settings import EndpointSettings

    known = list(settings.values.endpoints.items())
    probes = [(name, _endpoint_probe(name, each, each.key_env or "")) for name, each in known]
    if base := os.environ.get("OPENAI_BASE_URL"):
        each = EndpointSettings(url=base)
        probes.append(("OPENAI_BASE_URL", _endpoint_probe("OPENAI_BASE_URL", each, "")))
    return probes


def _endpoint_probe(name: str, endpoint: "EndpointSettings", key_env: str) -> Probe:
    """Look at one endpoint. As in an eval, it gets only the key that its `key_env` names."""

    def probe() -> list[Checkup]:
        from punie.backends.endpoint import checked_url
        from punie.errors import InputError
        from punie.serving.checkup import check_endpoint, missing_key

        try:
            url = checked_url(endpoint.url)
        except InputError as error:
            # Its message may quote the address, and the address may hold a key.
            return [problem(f"endpoint {name}", "not a usable address", error.hint)]
        if name == "OPENAI_BASE_URL":
            variable = "OPENAI_API_KEY" if os.environ.get("OPENAI_API_KEY") else ""
            return [check_endpoint(name, url, key_env=variable, model=None)]
        if key_env and not os.environ.get(key_env):
            return [missing_key(name, url, key_env)]
        return [check_endpoint(name, url, key_env=key_env, model=endpoint.model)]

    return probe


def _memory(settings: "Loaded") -> Checkup:
    """The project's suite on its model, or the demo of an eval without arguments."""
    from punie.backends.checkup import check_memory
    from punie.backends.choose import AUTO, usual_backend
    from punie.cli.backend_option import backend_choice
    from punie.cli.wish import Wish, chosen_concurrency, chosen_suite
    from punie.models.catalog import DEFAULT_MODEL

    values = settings.values
    backend = usual_backend() if values.backend == AUTO else None
    return check_memory(
        values.model or DEFAULT_MODEL,
        chosen_suite(Wish(), settings),
        concurrency=chosen_concurrency(Wish(), settings),
        adapter=Path(values.adapter).expanduser() if values.adapter else None,
        how=backend_choice(values, backend=backend, quantization=None),
    )


def _project(settings: "Loaded") -> Checkup:
    sources = sorted(set(settings.origins.values()))
    said = f"settings from {', '.join(sources)}" if sources else "no settings, all defaults"
    return ok("project", f"{settings.project}: {said}")


def _journal(project: Path) -> Checkup:
    from punie.journal.check import check_journal

    found = check_journal(project)
    entries = len(found.entries)
    if not entries and not found.findings:
        return ok("journal", "no entries yet")
    said = f"{entries} {'entry' if entries == 1 else 'entries'}"
    if found.findings:
        return problem("journal", f"{said}, {len(found.findings)} findings", "punie journal check")
    if found.warnings:
        return Checkup(
            name="journal",
            state=State.NOTE,
            found=f"{said}; its table is not up to date",
            mend="punie journal render",
        )
    return ok("journal", f"{said}, all agree with their runs")

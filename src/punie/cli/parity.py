"""`punie adapters parity`: every form of an adapter through one suite."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from punie.cli.adapters_made import JSON, MODEL, NAME, adapter_and_base
from punie.cli.output import emit_json, err, out, safe
from punie.cli.parity_forms import Asked, forms_of, further, place_for
from punie.errors import (
    EXIT_GATE,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RUNTIME,
    EXIT_UNMEASURED,
    InputError,
    ModelError,
)

if TYPE_CHECKING:
    from rich.table import Table

    from punie.adapters.parity import Against, Arm
    from punie.adapters.registry import Entry
    from punie.cli.measured import Measured
    from punie.cli.wish import Wish
    from punie.settings import Loaded

NARROW, WIDE = 72, 100
"""Columns from which on the table has the differences, and the runs."""
LISTED = 8
"""Prompts that a line of differences names."""


@click.command("parity")
@NAME
@click.argument("suite", required=False, metavar="[SUITE|FILE]")
@MODEL
@click.option(
    "--backend",
    type=click.Choice(["mlx", "cuda"]),
    help="Only on this backend [default: on each that is installed].",
)
@click.option(
    "--also",
    metavar="MODEL",
    multiple=True,
    help="A further form, such as an exported .gguf file. Repeatable.",
)
@click.option(
    "--sample", metavar="N", type=click.IntRange(1), help="Only N prompts, drawn by --seed."
)
@click.option("--seed", metavar="S", type=click.IntRange(0), help="For --sample [default: 0].")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 256),
    help="Prompts in flight [default: 8].",
)
@click.option("--checks/--no-checks", default=None, help="As for punie eval, before each form.")
@click.option("--keep", is_flag=True, help="Keep the fused folders in .punie/parity.")
@JSON
def parity_command(
    *,
    name: str,
    suite: str | None,
    model: str | None,
    backend: str | None,
    also: tuple[str, ...],
    keep: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Measure base, adapter and fused models on one suite, prompt by prompt, on each backend.

    On cuda the adapter is served as its base is and packed in 4 bits; with mlx it is fused as it is
    and quantised, and everywhere as a plain 16-bit Hugging Face folder. All are held against the
    adapter on this machine's usual backend.

    SUITE defaults to the adapter's own, what was held out of its data. Each form is a run of its
    own, kept as any other. Exit code 3 says that a form is clearly worse than the served adapter.
    """
    from punie.cli.wish import Wish
    from punie.settings import load_settings

    project, entry, base = adapter_and_base(name, model, silent=as_json, backend=backend)
    suite = suite or _own_suite(entry, project)
    wish = Wish(suite=suite, quiet=as_json, argv=tuple(sys.argv[1:]), **options)
    settings = _settings(load_settings(Path.cwd()))
    _require(wish, settings, also)
    with place_for(project, entry, keep=keep) as place:
        asked, missing = forms_of(place, entry, base, only=backend, quiet=as_json)
        asked += [further(each, base) for each in also]
        try:
            arms, measured = asyncio.run(_measure_all(asked, wish, settings, missing))
        except asyncio.CancelledError:  # by the second Ctrl-C
            raise KeyboardInterrupt from None
    code = _exit_code(arms, measured) or (EXIT_RUNTIME if missing else EXIT_OK)
    warnings = [*missing, *_warnings(measured)]
    if as_json:
        emit_json("adapters parity", _as_json(entry, arms), warnings)
    else:
        _print(arms, warnings)
    return code


def _require(wish: "Wish", settings: "Loaded", also: Sequence[str]) -> None:
    """Raise what is wrong with the suite or a further form before anything is made."""
    from punie.cli.pulling import pulling
    from punie.cli.wish import chosen_suite
    from punie.models.resolve import resolve

    chosen_suite(wish, settings)
    for model in also:
        with pulling(silent=wish.quiet) as progress:
            resolve(model, progress=progress)


def _own_suite(entry: "Entry", project: Path) -> str:
    """The suite that was held out of the adapter's data. Raises InputError where none is known."""
    stated = entry.manifest.suite if entry.manifest else None
    if stated is None:
        raise InputError(
            f"{entry.name} names no suite of its own", hint="give a SUITE; punie suites list"
        )
    return str(project / stated) if (project / stated).is_file() else stated


def _settings(settings: "Loaded") -> "Loaded":
    """The project's settings without what would change one form and not another."""
    journal = settings.values.journal.model_copy(update={"entries": "asked"})
    values = {"adapter": None, "backend": "auto", "journal": journal}
    return replace(settings, values=settings.values.model_copy(update=values))


async def _measure_all(
    asked: Sequence[Asked], wish: "Wish", settings: "Loaded", missing: list[str]
) -> "tuple[list[Arm], list[Measured]]":
    """One run after the other; after one that was interrupted, none.

    A form that its backend cannot serve is told in `missing`, unless all is held against it.
    """
    from punie.adapters.parity import Arm, Form, answers_of
    from punie.cli.measure import measure
    from punie.records.run import RunStatus
    from punie.store.runs import RunStore

    arms: list[Arm] = []
    measured: list[Measured] = []
    for at, each in enumerate(asked, 1):
        if not wish.quiet:
            which = f"{at} of {len(asked)}: {each.title}, on {each.backend}"
            err().print(safe(which), style="bold")
        own = replace(
            wish,
            model=each.model,
            adapter=each.adapter,
            backend=each.backend,
            quantization=each.quantization,
        )
        try:
            done = await measure(own, settings)
        except ModelError as error:
            if each.form in {Form.BASE, Form.SERVED}:
                raise
            missing.append(f"{each.title} on {each.backend} is not measured: {error.message}")
            continue
        run = done.report.run
        with RunStore(settings.project) as store:
            arms.append(Arm(each.form, each.title, run, answers_of(store.rows(run.id))))
        measured.append(done)
        if run.status is RunStatus.INTERRUPTED:
            break
    return arms, measured


def _compared(arms: "Sequence[Arm]") -> "list[tuple[Arm, Against | None]]":
    """Each form with its comparison; the served adapter itself has none."""
    from punie.adapters.parity import Form, against

    served = next((arm for arm in arms if arm.form is Form.SERVED), None)
    return [(arm, against(served, arm) if served and arm is not served else None) for arm in arms]


def _exit_code(arms: "Sequence[Arm]", measured: "Sequence[Measured]") -> int:
    """The worst that happened decides. A base that is worse than its adapter is as it should be."""
    from punie.adapters.parity import Form
    from punie.records.run import RunStatus

    reports = [each.report for each in measured]
    if any(report.run.status is RunStatus.INTERRUPTED for report in reports):
        return EXIT_INTERRUPTED
    if not all(report.summary.answered for report in reports):
        return EXIT_UNMEASURED
    worse = any(
        found.clearly_worse
        for arm, found in _compared(arms)
        if found is not None and arm.form is not Form.BASE
    )
    if worse:
        return EXIT_GATE
    return EXIT_RUNTIME if any(report.summary.faults for report in reports) else EXIT_OK


def _warnings(measured: "Sequence[Measured]") -> list[str]:
    return list(dict.fromkeys(line for each in measured for line in each.warnings))


def _as_json(entry: "Entry", arms: "Sequence[Arm]") -> dict[str, Any]:
    from punie.analysis.served_by import served_by

    listed: list[dict[str, Any]] = []
    for arm, found in _compared(arms):
        summary = arm.run.summary
        data: dict[str, Any] = {
            "form": arm.form.value,
            "title": arm.title,
            "served_by": served_by(arm.run.model),
            "run": arm.run.id,
            "score": summary.score.model_dump() if summary and summary.score else None,
            "faults": summary.faults if summary else None,
        }
        if found is not None:
            gap = found.difference
            data |= {
                "difference": {"value": gap.value, "low": gap.low, "high": gap.high, "n": gap.n}
                if gap
                else None,
                "lost": list(found.lost),
                "gained": list(found.gained),
                "reworded": found.reworded,
                "compared": found.compared,
                "clearly_worse": found.clearly_worse,
                "verdict": found.verdict,
            }
        listed.append(data)
    return {"adapter": entry.name, "suite": arms[0].run.suite_name, "arms": listed}


def _print(arms: "Sequence[Arm]", warnings: Sequence[str]) -> None:
    from punie.analysis.served_by import served_by

    console = out()
    compared = _compared(arms)
    console.print(_table(compared, console.width), soft_wrap=False)
    for arm, found in compared:
        if found is not None:
            told = f"{arm.title}, on {served_by(arm.run.model)}: {found.verdict}"
            console.print(safe(told), soft_wrap=True)
            for word, names in (("lost", found.lost), ("gained", found.gained)):
                if names and arm.form.value != "base":
                    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
                    listed = ", ".join(names[:LISTED])
                    console.print(safe(f"  {word}: {listed}{more}"), soft_wrap=True)
    for line in warnings:
        err().print(safe(line), soft_wrap=True)


def _table(compared: "Sequence[tuple[Arm, Against | None]]", width: int) -> "Table":
    from rich import box
    from rich.table import Table

    from punie.analysis.served_by import served_by
    from punie.reporting.numbers import percent_interval

    wide, wider = width >= NARROW, width >= WIDE
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("form", overflow="fold")
    table.add_column("served by", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    if wide:
        table.add_column("against the adapter", justify="right", no_wrap=True)
    if wider:
        table.add_column("run", no_wrap=True)
    for arm, found in compared:
        summary = arm.run.summary
        cells = [
            arm.title,
            served_by(arm.run.model),
            percent_interval(summary.score if summary else None),
        ]
        cells += [_difference(found)] if wide else []
        cells += [arm.run.id] if wider else []
        table.add_row(*(safe(cell) for cell in cells))
    return table


def _difference(found: "Against | None") -> str:
    from punie.reporting.numbers import points_interval

    gap = found.difference if found else None
    return points_interval(gap.value, gap.low, gap.high) if gap else "–"

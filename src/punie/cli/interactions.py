"""`punie data interactions`: what collected interactions say, and the baseline they make."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.output import emit_json, out, safe
from punie.errors import InputError

if TYPE_CHECKING:
    from punie.records.interactions import Interactions

STDIN = "-"


@click.command("interactions")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--field",
    "fields",
    metavar="NAME=KEY",
    multiple=True,
    help="Where a thing stands: success=ok, role=agent.kind, duration_ms=took.",
)
@click.option(
    "--status",
    "statuses",
    metavar="WORD=success|failure",
    multiple=True,
    help="What a word of your own means.",
)
@click.option(
    "--planned", metavar="ROLE=%,…", help="Planned shares: coder=35,tester=20,… They sum to 100."
)
@click.option(
    "--output",
    metavar="FOLDER|FILE",
    type=click.Path(path_type=Path),
    help="A .json of metrics, a .md with charts beside, or a folder for both.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def interactions_command(
    *,
    files: tuple[str, ...],
    fields: tuple[str, ...],
    statuses: tuple[str, ...],
    planned: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Totals, success, durations, roles and errors of collected interactions.

    FILEs are JSON lines, one interaction each; - is stdin. Usual keys are found by themselves
    (success, status, duration_ms, latency_s, role, agent, provider, timestamp, …), others by
    --field; --field NAME= reads nothing. The metrics file is one that punie compare --unpaired
    takes for a baseline.
    """
    from punie.datasets.interaction_fields import parse_fields
    from punie.datasets.interactions import read_interactions

    mapping = parse_fields(fields)
    words = dict(map(_status, statuses))
    shares = _planned(planned) if planned is not None else None
    if output is not None:
        _kind(output)
    with _sources(files) as sources:
        found, warnings = read_interactions(
            sources, mapping=mapping, statuses=words, planned=shares
        )
    if shares and not found.planned:
        warnings = (*warnings, "--planned: no line tells a role; --field role=KEY says where")
    written = _write(found, warnings, output) if output is not None else []
    if as_json:
        emit_json("data interactions", found.model_dump(mode="json"), warnings)
        return
    from punie.reporting.interactions_terminal import interactions_view

    out().print(interactions_view(found))
    for warning in warnings:
        click.echo(safe(f"warning: {warning}").plain, err=True)
    if written:
        click.echo(safe(", ".join(map(str, written))).plain, err=True)


def _status(written: str) -> tuple[str, bool]:
    word, _, meaning = written.rpartition("=")
    if not word or meaning not in {"success", "failure"}:
        raise InputError(
            f"--status {written}: should be WORD=success or WORD=failure",
            hint="e.g. --status resolved=success",
        )
    return word, meaning == "success"


def _planned(written: str) -> dict[str, float]:
    """Shares in [0, 1] by role. Raises InputError."""
    shares: dict[str, float] = {}
    for part in written.split(","):
        role, _, percent = part.strip().rpartition("=")
        try:
            share = float(percent.removesuffix("%")) / 100
        except ValueError:
            share = -1.0
        if not role or not 0 <= share <= 1:
            raise InputError(
                f"--planned: {part.strip() or 'an empty part'} is no share of a role",
                hint="e.g. --planned coder=35,tester=20,researcher=45",
            )
        if role in shares:
            raise InputError(f"--planned: {role} stands there twice")
        shares[role] = share
    total = sum(shares.values())
    if not 0.994 <= total <= 1.006:
        raise InputError(f"--planned: the shares sum to {100 * total:g} %, not to 100 %")
    return shares


@contextlib.contextmanager
def _sources(files: Sequence[str]) -> Generator[list[tuple[Path, str]]]:
    """The files with their names; what comes from stdin is kept in one that goes away again."""
    with contextlib.ExitStack() as kept:
        sources: list[tuple[Path, str]] = []
        for name in files:
            if name != STDIN:
                sources.append((Path(name).expanduser(), name))
                continue
            spool = kept.enter_context(tempfile.NamedTemporaryFile(prefix="punie-"))
            shutil.copyfileobj(sys.stdin.buffer, spool)
            spool.flush()
            sources.append((Path(spool.name), "stdin"))
        yield sources


def _kind(output: Path) -> str:
    """What is written there: a folder, `.json` or `.md`. Raises InputError for anything else."""
    suffix = output.suffix.lower()
    if output.is_dir() or not suffix:
        return "folder"
    if suffix not in {".json", ".md"}:
        raise InputError(
            f"--output {output}: should be a folder, a .json or a .md file",
            hint="the folder gets both, and the charts",
        )
    return suffix


def _write(found: "Interactions", warnings: Sequence[str], output: Path) -> list[Path]:
    from punie.cli.written import write_whole
    from punie.datasets.baseline import NAME, metrics_json, metrics_of
    from punie.reporting.interactions_markdown import interaction_charts, interactions_markdown

    kind = _kind(output)
    texts: dict[Path, str] = {}
    if kind != ".md":
        path = output / NAME if kind == "folder" else output
        texts[path] = metrics_json(metrics_of(found))
    if kind != ".json":
        page = output / "interactions.md" if kind == "folder" else output
        before = "" if kind == "folder" else f"{page.stem}-"
        drawn = interaction_charts(found)
        files = {name: page.with_name(f"{before}{name}.svg") for name in drawn}
        charts = [(title, files[name].name) for name, (title, _) in drawn.items()]
        texts[page] = interactions_markdown(found, charts=charts, warnings=warnings)
        texts.update({files[name]: f"{svg}\n" for name, (_, svg) in drawn.items()})
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, [text])
    except OSError as error:
        raise InputError(f"{error.filename or output}: {error.strerror or error}") from error
    return list(texts)

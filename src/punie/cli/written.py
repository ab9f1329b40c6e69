"""What a run leaves in files: its report and its results."""

from collections.abc import Iterable
from pathlib import Path

from punie.errors import InputError
from punie.records.result import Outcome
from punie.records.run import EvalReport, Run
from punie.records.suite import EvalPrompt
from punie.store.export import FORMATS, format_of
from punie.store.runs import RunStore


def write_report(store: RunStore, report: EvalReport, path: Path) -> Path:
    """Write the HTML report of a stored run, whole or not at all."""
    return write_page(report, store.rows(report.run.id), path)


def write_page(
    report: EvalReport,
    rows: Iterable[tuple[EvalPrompt, Outcome]],
    path: Path,
    *,
    words: bool = True,
) -> Path:
    """Write a report from any rows; `words` as in `render_html`."""
    from punie.reporting.html import render_html

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, render_html(report, rows, words=words))
    return path


def summary_file(results: Path) -> Path:
    """Where a run's head and summary stand beside its results."""
    return results.with_name(f"{results.stem}.summary.json")


def write_results(store: RunStore, run: Run, path: Path) -> None:
    """Write a run's outcomes in the format of the file's ending, its summary beside them.

    A file that was there is replaced whole or not at all.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, FORMATS[format_of(path.name)](run, store.rows(run.id)))
        write_whole(summary_file(path), [run.model_dump_json(indent=2), "\n"])
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}",
            hint=f"the run is kept: punie runs export {run.id} --output FILE",
        ) from error


def format_by_ending(path: Path) -> str:
    """Markdown, HTML or JSON, by a file's ending. Raises InputError for another one."""
    wanted = {".md": "markdown", ".html": "html", ".json": "json"}
    if path.suffix not in wanted:
        known = ", ".join(wanted)
        raise InputError(f"{path}: no format has this ending", hint=f"one of {known}")
    return wanted[path.suffix]


def write_whole(path: Path, pieces: Iterable[str]) -> None:
    """Write a text through a temporary file beside it; where `path` is a pipe, into that."""
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8", errors="replace", newline="") as pipe:
            pipe.writelines(pieces)
        return
    target = path.resolve()  # a link stays one
    part = target.with_name(f".{target.name}.part")
    try:
        with part.open("w", encoding="utf-8", errors="replace", newline="") as file:
            file.writelines(pieces)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise

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
    """Write the HTML report of a stored run, through a temporary file."""
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
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.writelines(render_html(report, rows, words=words))
    temporary.replace(path)
    return path


def summary_file(results: Path) -> Path:
    """Where a run's head and summary stand beside its results."""
    return results.with_name(f"{results.stem}.summary.json")


def write_results(store: RunStore, run: Run, path: Path) -> None:
    """Write a run's outcomes in the format of the file's ending, its summary beside them."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(FORMATS[format_of(path.name)](run, store.rows(run.id)))
        summary_file(path).write_text(run.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror or error}",
            hint=f"the run is kept: punie runs export {run.id} --output FILE",
        ) from error

"""`punie judge calibrate`: a judge held against people."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.judge_options import judge_options
from punie.cli.output import emit_json, err, out, safe
from punie.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_RUNTIME, EXIT_UNMEASURED

if TYPE_CHECKING:
    from punie.cli.calibrating import Calibrated


@click.command("calibrate", short_help="Hold a judge against people's labels.")
@click.argument("labels", type=click.Path(path_type=Path))
@judge_options(
    rubric="What the judge marks by [default: correctness, completeness, format].", required=True
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def calibrate_command(
    *,
    labels: Path,
    judge: str,
    judge_model: str | None,
    rubric: Path | None,
    concurrency: int | None,
    as_json: bool,
) -> int:
    """Ask a judge about answers that a person has labelled, and say how far the two agree.

    LABELS is a file of punie label. Agreement is Cohen's kappa with its 95 % interval. A gate may
    rest on a judge only with 50 labels or more, and a lower bound of kappa of 0.4 or more. What
    was found is kept beside the labels, for this very judge: its model, its words, its rubric.
    """
    from punie.cli.calibrating import calibrate
    from punie.cli.judge_served import judge_wish
    from punie.settings import load_settings

    settings = load_settings(Path.cwd())
    wish = judge_wish(judge, judge_model, rubric, settings, concurrency=concurrency, quiet=as_json)
    done = calibrate(labels, wish, settings)
    if as_json:
        data = {"file": str(done.path), "calibration": done.found.model_dump(mode="json")}
        emit_json("judge calibrate", data, done.notes)
    else:
        from punie.reporting.calibration import calibration_view

        out().print(calibration_view(done.found))
        for note in done.notes:
            err().print(safe(note), soft_wrap=True)
        err().print(f"calibration  {done.path}", markup=False, soft_wrap=True)
    return _exit_code(done)


def _exit_code(done: "Calibrated") -> int:
    """A judge that gates nothing is a finding, no error."""
    if done.stopped:
        return EXIT_INTERRUPTED
    if not done.found.compared:
        return EXIT_UNMEASURED
    return EXIT_OK if done.whole and not done.found.faults else EXIT_RUNTIME

"""What is known against people of the judges that a gate asks about."""

from pathlib import Path

from punie.records.duel import DuelSummary
from punie.records.gate import Gates
from punie.records.labels import Calibration, LabelKind
from punie.records.run import Run


def known_of(
    gates: Gates, run: Run, duel: DuelSummary | None, project: Path
) -> tuple[Calibration, ...]:
    """The calibrations of who marked this run and of who judged this duel, as they are now.

    One of the kind that each bound of the gate needs; nothing where the gate asks for no judge.
    Raises InputError for a calibration that cannot be read.
    """
    if gates.judge is None:
        return ()
    from punie.datasets.names import LABELS
    from punie.judging.calibration_file import calibration_on

    found: list[Calibration | None] = []
    if gates.judge.score_percent is not None and run.judged:
        found.append(calibration_on(project / LABELS, run.judged.judge, LabelKind.MARKS))
    if gates.judge.win_rate_percent is not None and duel:
        found.append(calibration_on(project / LABELS, duel.judge, LabelKind.DUEL))
    return tuple(each for each in found if each)

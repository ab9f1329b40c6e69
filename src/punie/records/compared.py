"""What `punie compare` gives: comparisons, gate and decision, for every report and the journal."""

from punie.records.base import SCHEMA_VERSION, Record
from punie.records.comparison import Comparison, Difference
from punie.records.duel import DuelSummary
from punie.records.gate import Decision, GateReport
from punie.records.labels import Calibration
from punie.records.summary import Estimate


class WeightedScore(Record):
    """An overall score with declared weights, in both runs."""

    weights: dict[str, float]
    """By category; they sum to 1."""
    base: Estimate | None
    current: Estimate | None
    difference: Difference | None
    missing: tuple[str, ...] = ()
    """Weighted categories that nothing was measured of."""


class MatrixCell(Record):
    """Two of several runs: column minus row."""

    row: str
    column: str
    """Ids of runs."""
    difference: Difference | None
    p: float | None = None
    """Of the paired test, before Holm."""
    adjusted: float | None = None
    """After Holm, over all cells."""


class Matrix(Record):
    """Three runs or more, each with each."""

    runs: tuple[str, ...]
    titles: tuple[str, ...]
    cells: tuple[MatrixCell, ...]
    alpha: float = 0.05


class Compared(Record):
    """Two runs (`comparisons[0]`), what guards them, and what follows."""

    schema_version: int = SCHEMA_VERSION
    comparisons: tuple[Comparison, ...]
    """The asked-for one first, then those of a gate's other suites."""
    gate: GateReport | None = None
    decision: Decision | None = None
    weighted: WeightedScore | None = None
    duel: DuelSummary | None = None
    """What a judge says of the two runs' answers, pair by pair, where one was asked."""
    calibrations: tuple[Calibration, ...] = ()
    """What is known of the judges that the gate asks about against people, as it was then."""
    missing: tuple[str, ...] = ()
    """Suites of the gate that were not measured, each with the command that does."""
    warnings: tuple[str, ...] = ()

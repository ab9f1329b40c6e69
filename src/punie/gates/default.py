"""What is asked where nobody wrote a gate file."""

from punie.gates.read import sealed
from punie.records.comparison import MARGIN
from punie.records.gate import OTHERS, OWN, Gates, SuiteGate
from punie.records.run import Run


def default_gates(base: Run, current: Run) -> Gates:
    """The gate of this comparison.

    An adapter against a model without one must gain on its own suite (the lower bound above 0) and
    lose no more than 5 points on every other suite. Of two models, the current one may be no worse
    by more than 5 points.
    """
    guard = SuiteGate(suite=OTHERS, margin_points=100 * MARGIN)
    adapted = current.model.adapter is not None and base.model.adapter is None
    target = (SuiteGate(suite=OWN, minimum_gain_points=0.0),) if adapted else ()
    return sealed(Gates(targets=target, guards=(guard,)), "built in")

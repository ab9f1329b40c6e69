"""What an adapter's training had to do with a suite that it is measured on.

Prompts are compared, not suites: a copy under another name, with another sampling or a few prompts
more measures just as little.
"""

from punie.records.adapter import SuiteTies
from punie.records.suite import EvalSuite
from punie.records.trust import Finding, Level
from punie.reporting.numbers import counted

SELECTION, LEAKAGE = "selection", "leakage"
"""Names of the findings."""


def stamps_of(ties: SuiteTies, suite: EvalSuite) -> tuple[Finding, ...]:
    """The findings that stand with every run of this adapter on this suite; most have none."""
    found: list[Finding] = []
    chosen, asked = ties.chosen, len(suite.prompts)
    same = _shared(chosen.prompts, suite) or (asked if chosen.suite_hash == suite.hash else 0)
    if same:
        which = "this suite" if same == asked else f"{same:,} of this suite's {asked:,} prompts"
        found.append(
            Finding(
                name=SELECTION,
                level=Level.WARNING,
                sentence=f"Selected on test: {which} chose the adapter's checkpoint, "
                f"the best of {len(chosen.candidates)}.",
                consequence="The score is too high, by how much is not known; measure on prompts "
                "that chose nothing.",
                details={
                    "candidates": len(chosen.candidates),
                    "step": chosen.step,
                    "prompts": same,
                },
            )
        )
    leaked = _shared(ties.leaked_prompts, suite) or ties.leaked_suites.get(suite.hash, 0)
    if leaked:
        found.append(
            Finding(
                name=LEAKAGE,
                level=Level.WARNING,
                sentence=f"The adapter was trained on rows that hold {counted(leaked, 'prompt')} "
                "of this suite, or nearly.",
                consequence="The score measures memory in part; take these rows out and train "
                "again.",
                details={"prompts": leaked},
            )
        )
    return tuple(found)


def _shared(hashes: tuple[str, ...], suite: EvalSuite) -> int:
    known = set(hashes)
    return sum(prompt.hash in known for prompt in suite.prompts)

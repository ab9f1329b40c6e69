"""What an adapter's training had to do with a suite that it is measured on."""

from punie.records.adapter import AdapterManifest
from punie.records.suite import EvalSuite
from punie.records.trust import Finding, Level
from punie.reporting.numbers import counted


def stamps_of(manifest: AdapterManifest, suite: EvalSuite) -> tuple[Finding, ...]:
    """The findings that stand with every run of this adapter on this suite; most have none."""
    found: list[Finding] = []
    chosen = manifest.chosen
    if chosen.suite_hash == suite.hash:
        found.append(
            Finding(
                name="selection",
                level=Level.WARNING,
                sentence="Selected on test: this suite chose the adapter's checkpoint, "
                f"the best of {len(chosen.candidates)}.",
                consequence="The score is too high, by how much is not known; measure on prompts "
                "that chose nothing.",
                details={"candidates": len(chosen.candidates), "step": chosen.step},
            )
        )
    if leaked := manifest.leaked_suites.get(suite.hash):
        found.append(
            Finding(
                name="leakage",
                level=Level.WARNING,
                sentence=f"The adapter was trained on rows that hold {counted(leaked, 'prompt')} "
                "of this suite, or nearly.",
                consequence="The score measures memory in part; take these rows out and train "
                "again.",
                details={"prompts": leaked},
            )
        )
    return tuple(found)

"""The self-checks around an eval: made before it, and told on stderr in a line each."""

from punie.cli.adapter import adapter_of, stamps
from punie.cli.live import waiting_for, watched
from punie.cli.output import err
from punie.cli.served import Served
from punie.cli.wish import Wish
from punie.evaluation.needs import check_needs, shortfalls
from punie.records.run import Run
from punie.records.suite import EvalSuite
from punie.records.trust import Checks, Level
from punie.settings import Loaded


async def checked(wish: Wish, settings: Loaded, suite: EvalSuite, service: Served, run: Run) -> Run:
    """The run's head after the self-checks, or stamped as not checked where none are wanted.

    What memory allows was found before the server was started, and what the adapter's training had
    to do with the suite when it was trained; both count in either case. Raises InputError for what
    the server cannot do.
    """
    check_needs(suite, service.endpoint, run)
    findings = stamps(run, adapter_of(wish, settings), suite)
    if service.memory is not None:
        from punie.backends.preflight import neighbours

        found = (service.memory.finding, neighbours())
        findings += tuple(finding for finding in found if finding is not None)
        lower = min(run.concurrency, service.memory.concurrency)
        run = run.model_copy(update={"concurrency": lower})
    checks = Checks(findings=tuple(shortfalls(suite, service.endpoint)), skipped=True)
    wanted = settings.values.checks if wish.checks is None else wish.checks
    if wanted:
        from punie.evaluation.checks import self_check

        with waiting_for("checking the instrument", quiet=wish.quiet or not watched()):
            run = await self_check(suite, service.endpoint, run)
        checks = run.checks or Checks()
    checks = checks.model_copy(update={"findings": (*findings, *checks.findings)})
    if not wish.quiet:
        _tell(checks)
    return run.model_copy(update={"checks": checks})


def _tell(checks: Checks) -> None:
    """One line for each finding that matters; the table of the run counts the others."""
    from rich.text import Text

    from punie.reporting.soundness import notable, said

    notes = err()
    for finding in notable(checks):
        style = "bold yellow" if finding.level is Level.WARNING else "bold"
        notes.print(Text.assemble((finding.level.value, style), ": ", said(finding)))

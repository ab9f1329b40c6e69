"""What a run still owes, and the command that asks it."""

import shlex

from punie.analysis.measure_command import in_shell
from punie.records.run import Run, RunStatus
from punie.records.summary import Summary
from punie.text import one_line


def is_owed(run: Run, summary: Summary) -> bool:
    """Whether some prompt of an ended run has no answer yet."""
    ended_early = run.status in {RunStatus.INTERRUPTED, RunStatus.FAILED}
    return ended_early or (run.status is RunStatus.DONE and bool(summary.faults))


def resume_command(run: Run, summary: Summary) -> str:
    """The command that asks again what is owed; empty where nothing is.

    Empty too for a run that `punie eval` did not make, or that is read from a journal: the
    command needs to know where suite and model lie on this machine. One of two that were timed side
    by side is measured anew with the other, or not at all.
    """
    if run.sources is None or run.timed_with is not None or not is_owed(run, summary):
        return ""
    return command_of(run)


def command_of(run: Run) -> str:
    """The command that goes on with a run.

    It says a URL again that was given: a key goes only where the command line sends it. What is
    asked until it is decided goes on with the command that began it, which knows the other run.
    """
    if is_asked_until_decided(run) and run.status is not RunStatus.DONE:
        return begun_by(run)
    words = ["punie", "eval", "--resume", run.id]
    url = run.sources.url if run.sources else None
    # A configured endpoint's name is enough: its key is configured with it.
    return in_shell([*words, "--url", url] if url and "://" in url else words)


def begun_by(run: Run) -> str:
    """The command that began a run, each word quoted: what a database says may be anybody's."""
    try:
        words = shlex.split(one_line(run.provenance.command, 1000))
    except ValueError:  # cut off within quotes
        words = []
    return in_shell(words) if words[:2] == ["punie", "eval"] else "the command that began it"


def is_asked_until_decided(run: Run) -> bool:
    """Whether a run's prompts are asked in a drawn order, to end once a test has decided."""
    return "order" in run.selection

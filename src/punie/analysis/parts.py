"""A run that was resumed has answers of several parts: what its self-checks say of all of them."""

from collections.abc import Iterator

from punie.records.trust import Checks, Finding, Level

EARLIER = "In an earlier part of the run: "
_GRAVITY = {Level.OK: 0, Level.UNKNOWN: 1, Level.NOTE: 2, Level.WARNING: 3}


def joined(earlier: Checks | None, now: Checks) -> Checks:
    """The checks of the part that begins, with those of the parts before it whose answers stand.

    Of each check the graver finding stands. Parts that nobody asked to check (`earlier` is None, or
    skipped) keep their mark, because no later check tells anything of their answers.
    """
    earlier = earlier or Checks(skipped=True)
    skipped = (earlier.skipped, now.skipped)
    return Checks(
        findings=tuple(_graver(earlier, now)),
        skipped=any(skipped),
        partly=earlier.partly or now.partly or (any(skipped) and not all(skipped)),
        seconds=round(earlier.seconds + now.seconds, 3),
    )


def _graver(earlier: Checks, now: Checks) -> Iterator[Finding]:
    """The findings in the order of the part that begins, then those that only parts before have."""
    before = {each.name: each for each in earlier.findings}
    for finding in now.findings:
        was = before.pop(finding.name, None)
        if was is not None and _GRAVITY[was.level] > _GRAVITY[finding.level]:
            yield _of_earlier(was)
        else:
            yield finding
    yield from map(_of_earlier, before.values())


def _of_earlier(finding: Finding) -> Finding:
    if finding.sentence.startswith(EARLIER):
        return finding
    return finding.model_copy(update={"sentence": EARLIER + finding.sentence})

"""What became of each compared prompt: fixed, regressed, still failing, or right as before."""

from collections.abc import Sequence

from punie.records.comparison import Bucket, Flip, Pair

_ORDER = (Bucket.REGRESSED, Bucket.FIXED, Bucket.STILL_FAILING)


def bucketed(pairs: Sequence[Pair]) -> dict[str, Bucket]:
    """The bucket of each pair that was scored in both runs, by id.

    A prompt is fixed where more of its answers pass than before (with one answer: it passes now and
    did not), regressed where fewer do. Where as many do, it is right as before if all pass, and
    fails still otherwise. Where no answer of either run passed at all, nothing there is right or
    wrong: then a higher score is fixed and a lower one regressed.
    """
    scored = [each for each in pairs if each.base.score is not None]
    scored = [each for each in scored if each.current.score is not None]
    graded = not any(each.base.passed or each.current.passed for each in scored)
    return {each.id: _bucket(each, graded=graded) for each in scored}


def _bucket(pair: Pair, *, graded: bool) -> Bucket:
    before, after = pair.base.passed or 0.0, pair.current.passed or 0.0
    if graded:
        before, after = pair.base.score or 0.0, pair.current.score or 0.0
    if after != before:
        return Bucket.FIXED if after > before else Bucket.REGRESSED
    return Bucket.STILL_PASSING if after == 1 else Bucket.STILL_FAILING


def flips(pairs: Sequence[Pair], buckets: dict[str, Bucket]) -> tuple[Flip, ...]:
    """All that regressed, all that were fixed, then what fails still, each by id."""
    return tuple(
        Flip(
            id=pair.id,
            hash=pair.hash,
            bucket=bucket,
            category=pair.category,
            role=pair.role,
            must_pass=pair.must_pass,
            base_score=pair.base.score or 0.0,
            current_score=pair.current.score or 0.0,
            base_culprit=pair.base.culprit,
            current_culprit=pair.current.culprit,
        )
        for bucket in _ORDER
        for pair in pairs
        if buckets.get(pair.id) is bucket
    )

"""Two paired runs as one `Comparison`: the difference, how sure it is, and all that explains it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from punie.analysis.cautions import cautions
from punie.analysis.detectable import smallest_found
from punie.analysis.differs import differs
from punie.analysis.direction import unit_flips, word_for
from punie.analysis.flips import bucketed, flips
from punie.analysis.latency import latency_of, timing_of
from punie.analysis.mcnemar import exact_mcnemar
from punie.analysis.pairing import Asked, Paired
from punie.analysis.portion import Portion, passed_of, portions, score_of
from punie.analysis.rule import word_of
from punie.records.comparison import (
    MARGIN,
    Bucket,
    Comparison,
    Discordance,
    Pair,
    Relabelled,
    SliceComparison,
)
from punie.records.run import Run


def compare(
    base: Run,
    current: Run,
    paired: Paired,
    *,
    purpose: Literal["target", "guard"] = "guard",
    margin: float = MARGIN,
    seed: int = 0,
) -> Comparison:
    """Everything that the two runs say together; `margin` is a share, the loss "no worse" allows.

    Whatever was not measured is None: no number is made up for a suite that scores nothing, a run
    without answers, or a test that needs right-or-wrong answers. `seed` is that of every bootstrap.
    """
    whole, pairs = Portion.all_of(paired), paired.pairs
    weighed = [each for each in pairs if each.weight]  # what has no weight counts in no number
    buckets = bucketed(weighed)
    score = whole.difference(score_of, score_of)
    slices = [_slices(paired, names, buckets, margin) for names in (_category, _role, _tags)]
    before = paired.labels_before
    must_pass = [
        each
        for each in paired.current
        if each.must_pass or (each.id in before and before[each.id].must_pass)
    ]
    failed = [
        each.id for each in must_pass if each.side.passed is not None and each.side.passed < 1
    ]
    unmeasured = [
        each.id
        for each in must_pass
        if (each.side.faults or each.side.passed is None) and each.id not in failed
    ]
    absent = [each.id for each in paired.base if each.must_pass and each.id in paired.only_base]
    stopped = base.decided_after is not None or current.decided_after is not None
    ended = unit_flips(paired) if stopped else None
    return Comparison(
        base=base,
        current=current,
        purpose=purpose,
        how=paired.how,
        pairs=len(pairs),
        scored=len(buckets),
        only_base=len(paired.only_base),
        only_current=len(paired.only_current),
        changed=paired.changed,
        faulted=paired.faulted,
        base_score=whole.base_mean(),
        current_score=whole.current_mean(),
        score=score,
        if_faults_lose=whole.if_faults(base=1.0, current=0.0),
        if_faults_win=whole.if_faults(base=0.0, current=1.0),
        at_worst=whole.own_mean(0.0),
        at_best=whole.own_mean(1.0),
        passed=whole.difference(passed_of, passed_of),
        discordance=_discordance(weighed),
        smallest_detectable=smallest_found(whole),
        word=word_for(current, score, ended, margin),
        margin=margin,
        categories=slices[0],
        roles=slices[1],
        tags=slices[2],
        buckets=dict(Counter(buckets.values())),
        flips=flips(pairs, buckets),
        relabelled=_relabelled(paired, margin) if paired.relabelled else None,
        must_pass=len(must_pass) + len(absent),
        must_pass_failed=tuple(sorted(failed)),
        must_pass_unmeasured=tuple(sorted([*unmeasured, *absent])),
        latency=latency_of(base, current, pairs, seed=seed),
        timing=timing_of(current, paired.current, seed=seed),
        differs=differs(base, current, unpaired=paired.how == "unpaired"),
        cautions=cautions(base, current, paired),
        stopped_early=stopped,
        unit_flips=ended,
    )


def _relabelled(paired: Paired, margin: float) -> Relabelled:
    """The same numbers with the labels that the base had."""
    before = paired.with_labels_before()
    whole, buckets = Portion.all_of(before), bucketed(before.pairs)
    slices = [_slices(before, names, buckets, margin) for names in (_category, _role, _tags)]
    return Relabelled(
        score=whole.difference(score_of, score_of),
        if_faults_lose=whole.if_faults(base=1.0, current=0.0),
        if_faults_win=whole.if_faults(base=0.0, current=1.0),
        at_worst=whole.own_mean(0.0),
        at_best=whole.own_mean(1.0),
        categories=slices[0],
        roles=slices[1],
        tags=slices[2],
    )


def _category(prompt: Asked | Pair) -> tuple[str, ...]:
    return (prompt.category,)


def _role(prompt: Asked | Pair) -> tuple[str, ...]:
    return (prompt.role,) if prompt.role is not None else ()


def _tags(prompt: Asked | Pair) -> tuple[str, ...]:
    return prompt.tags


def _slices(
    paired: Paired,
    names: Callable[[Asked | Pair], Iterable[str]],
    buckets: Mapping[str, Bucket],
    margin: float,
) -> tuple[SliceComparison, ...]:
    return tuple(
        _slice(name, portion, buckets, margin) for name, portion in portions(paired, names).items()
    )


def _slice(
    name: str, portion: Portion, buckets: Mapping[str, Bucket], margin: float
) -> SliceComparison:
    difference = portion.difference(score_of, score_of)
    became = Counter(buckets.get(pair.id) for pair in portion.pairs)
    return SliceComparison(
        name=name,
        base=portion.base_mean(),
        current=portion.current_mean(),
        difference=difference,
        pairs=len(portion.pairs),
        gained=became[Bucket.FIXED],
        lost=became[Bucket.REGRESSED],
        word=word_of(difference, margin),
        faults=portion.faults,
        if_faults_lose=portion.if_faults(base=1.0, current=0.0),
        if_faults_win=portion.if_faults(base=0.0, current=1.0),
        at_worst=portion.own_mean(0.0),
        at_best=portion.own_mean(1.0),
    )


def _discordance(pairs: Sequence[Pair]) -> Discordance | None:
    """Counts of right and wrong; None with repeats, or where nothing was right or wrong.

    Nothing was where answers have scores and none of them ever passed: then `bucketed` too tells
    what became of a prompt by its score.
    """
    if any(side.answers > 1 for pair in pairs for side in (pair.base, pair.current)):
        return None
    cells = Counter(
        (pair.base.passed == 1, pair.current.passed == 1)
        for pair in pairs
        if pair.base.passed is not None and pair.current.passed is not None
    )
    passed = any(pair.base.passed or pair.current.passed for pair in pairs)
    scored = any(pair.base.score or pair.current.score for pair in pairs)
    if not cells or (scored and not passed):
        return None
    gained, lost = cells[False, True], cells[True, False]
    return Discordance(
        both=cells[True, True],
        gained=gained,
        lost=lost,
        neither=cells[False, False],
        p=exact_mcnemar(gained, lost),
    )

"""A run's numbers, computed again from what a comparison keeps of its prompts."""

from collections.abc import Callable, Iterator, Sequence

from punie.analysis.estimates import estimate, mean_of_estimates
from punie.analysis.pairing import Asked
from punie.journal.note import Doubt
from punie.journal.recompute import same
from punie.records.comparison import Side
from punie.records.run import Run
from punie.records.summary import Estimate


def side_doubts(run: Run, arm: Sequence[Asked]) -> Iterator[Doubt]:
    """What a run's head says and its rows do not give: counts, scores, and what must pass."""
    summary = run.summary
    if summary is None:
        return
    categories = _by_category(arm)
    stated: dict[str, object] = {
        "prompts": summary.prompts,
        "answered": summary.answered,
        "faults": summary.faults,
        "score": _value(summary.score),
        "passed": _value(summary.passed),
        "must_pass_failed": list(summary.must_pass_failed),
    }
    found: dict[str, object] = {
        "prompts": len(arm),
        "answered": sum(each.side.answers for each in arm),
        "faults": sum(each.side.faults for each in arm),
        "score": _mean(categories, lambda side: side.score),
        "passed": _mean(categories, lambda side: side.passed),
        "must_pass_failed": sorted(
            each.id for each in arm if each.must_pass and _failed(each.side)
        ),
    }
    for each in summary.categories:
        stated[f"the score of {each.name}"] = _value(each.score)
    for name, members in categories.items():
        found[f"the score of {name}"] = _mean({name: members}, lambda side: side.score)
    for name in dict.fromkeys([*stated, *found]):
        if not same(stated.get(name), found.get(name)):
            what = f"run {run.id} has {name} {stated.get(name)}, its rows give {found.get(name)}"
            yield Doubt("runs", what)


def _failed(side: Side) -> bool:
    return side.passed is not None and side.passed < 1


def _by_category(arm: Sequence[Asked]) -> dict[str, list[Asked]]:
    categories: dict[str, list[Asked]] = {}
    for each in arm:
        categories.setdefault(each.category, []).append(each)
    return categories


def _mean(categories: dict[str, list[Asked]], read: Callable[[Side], float | None]) -> float | None:
    def of(members: list[Asked]) -> Estimate | None:
        scored = [(each, value) for each in members if (value := read(each.side)) is not None]
        return estimate(
            [value for _, value in scored],
            [each.weight for each, _ in scored],
            [each.group for each, _ in scored],
        )

    return _value(mean_of_estimates(of(members) for members in categories.values()))


def _value(found: Estimate | None) -> float | None:
    return found.value if found else None

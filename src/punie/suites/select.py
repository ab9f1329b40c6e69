"""A part of a suite: by category, role or tag, or a seeded sample."""

from collections import Counter
from collections.abc import Iterable

from punie.errors import InputError
from punie.records.base import digest
from punie.records.suite import EvalPrompt, EvalSuite
from punie.sources.faults import nearest


def select(
    suite: EvalSuite,
    *,
    category: str | None = None,
    role: str | None = None,
    tag: str | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> EvalSuite:
    """Keep the prompts that fit every filter, then at most `sample` of them, in the file's order.

    The sample draws by a hash of seed and id: the same on every machine, and adding prompts to a
    suite leaves most of it as it was. Name and hash stay those of the whole suite: the caller
    records what was selected. Raises `InputError` where nothing is left, naming what there is.
    """
    if sample is not None and sample < 1:
        raise InputError(f"a sample of {sample} prompts is none", hint="ask for at least 1")
    _known("category", category, (p.category for p in suite.prompts))
    _known("role", role, (p.role for p in suite.prompts if p.role is not None))
    _known("tag", tag, (t for p in suite.prompts for t in p.tags))
    kept = [
        p
        for p in suite.prompts
        if (category is None or p.category == category)
        and (role is None or p.role == role)
        and (tag is None or tag in p.tags)
    ]
    if not kept:
        asked = {"category": category, "role": role, "tag": tag}
        filters = ", ".join(f"{name} {value}" for name, value in asked.items() if value is not None)
        raise InputError(
            f"no prompt of {suite.name} has all of: {filters}",
            hint=f"punie suites show {suite.name} lists its prompts",
        )
    if sample is not None and sample < len(kept):
        drawn = {p.id for p in sorted(kept, key=lambda p: _draw(p, seed))[:sample]}
        kept = [p for p in kept if p.id in drawn]
    return suite.model_copy(update={"prompts": tuple(kept)})


def in_drawn_order(suite: EvalSuite, seed: int) -> EvalSuite:
    """The suite with its prompts in an order drawn by `seed`, the same on every machine.

    Each category has its turn, as long as it has prompts, so that every part of the run is one of
    all categories. Prompts of a group stay together; what has no weight comes last.
    """
    groups: dict[str, list[EvalPrompt]] = {}
    for prompt in suite.prompts:
        alone = prompt.group is None
        groups.setdefault(f"prompt {prompt.id}" if alone else f"group {prompt.group}", []).append(
            prompt
        )
    turns: Counter[tuple[str, ...]] = Counter()
    placed: list[tuple[bool, int, str, list[EvalPrompt]]] = []
    for members in sorted(groups.values(), key=lambda each: _draw(each[0], seed)):
        weightless = not any(each.weight for each in members)
        turn = (str(weightless), *sorted({each.category for each in members}))
        placed.append((weightless, turns[turn], _draw(members[0], seed), members))
        turns[turn] += 1
    drawn = [
        prompt for *_, members in sorted(placed, key=lambda each: each[:3]) for prompt in members
    ]
    return suite.model_copy(update={"prompts": tuple(drawn)})


def _draw(prompt: EvalPrompt, seed: int) -> str:
    return digest([seed, prompt.id])


def _known(what: str, wanted: str | None, there: Iterable[str]) -> None:
    if wanted is None:
        return
    names = sorted(set(there))
    if wanted not in names:
        others = f"its {what} names: {', '.join(names)}" if names else f"its prompts have no {what}"
        raise InputError(
            f"the suite has no {what} {wanted!r}{nearest(wanted, names)}",
            hint=others,
        )

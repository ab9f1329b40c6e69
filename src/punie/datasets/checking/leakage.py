"""What is measured and was trained: rows of one split in another, prompts of suites in the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from punie.datasets.checking.overlap import Match, Overlap, Sought
from punie.datasets.checking.texts import Prompts, place_of
from punie.records.datacheck import SHOWN_PLACES, DataFinding, Place, Severity
from punie.records.dataset import Row, Split
from punie.records.suite import EvalPrompt, EvalSuite

LEAKAGE = "leakage"


@dataclass(frozen=True, slots=True)
class _Group:
    """Texts that are sought together: a split's rows, or a suite's prompts."""

    name: str
    texts: tuple[Sought, ...]
    labels: tuple[str, ...]
    """What to call each of them."""
    tools: tuple[frozenset[str], ...]
    """The names of the tools that each of them offers."""
    suite: EvalSuite | None = None
    split: Split | None = None


@dataclass(slots=True)
class Leaks:
    """What was found, and by hash of a suite the ids of its prompts that are trained."""

    findings: list[DataFinding] = field(default_factory=list[DataFinding])
    leaked: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def find_leakage(rows: Mapping[Split, Sequence[Row]], suites: Sequence[EvalSuite]) -> Leaks:
    """Find prompts of what is measured in what is trained or chosen by.

    Training rows must hold nothing of the validation, of the test or of a suite: errors. Validation
    rows choose the checkpoint: what they hold of a test or a suite is a warning. Test rows may be
    in suites, for the dataset's own suite is made of them.
    """
    prompts = Prompts((row for each in rows.values() for row in each), suites)
    measured = [_of_split(split, rows, prompts) for split in (Split.VALID, Split.TEST)]
    groups = [*filter(None, measured), *(_of_suite(suite, prompts) for suite in suites)]
    leaks = Leaks()
    for split in (Split.TRAIN, Split.VALID):
        if rows.get(split):
            others = [group for group in groups if group.split is not split and group.texts]
            _look(split, rows[split], others, prompts, leaks)
    return leaks


def _of_split(split: Split, rows: Mapping[Split, Sequence[Row]], prompts: Prompts) -> _Group | None:
    sought = [(row, prompts.of_row(row).words) for row in rows.get(split, ())]
    kept = [(row, words) for row, words in sought if words]
    return _Group(
        name=f"the rows of {split}",
        texts=tuple(Sought(words, prose=row.text is not None) for row, words in kept),
        labels=tuple(f"{row.file}:{row.line}" for row, _ in kept),
        tools=tuple(_names(row) for row, _ in kept),
        split=split,
    )


def _of_suite(suite: EvalSuite, prompts: Prompts) -> _Group:
    found = [(prompt, prompts.of_prompt(prompt)) for prompt in suite.prompts]
    kept = [(prompt, words) for prompt, words in found if words]
    return _Group(
        name=f"the prompts of {suite.name}",
        texts=tuple(Sought(words) for _, words in kept),
        labels=tuple(prompt.id for prompt, _ in kept),
        tools=tuple(_names(prompt) for prompt, _ in kept),
        suite=suite,
    )


def _look(
    split: Split,
    rows: Sequence[Row],
    groups: Sequence[_Group],
    prompts: Prompts,
    leaks: Leaks,
) -> None:
    """Look for all groups at once: the rows are gone through a single time."""
    overlap = Overlap([text for group in groups for text in group.texts])
    matches = list(overlap.matches([prompts.of_row(row) for row in rows]))
    wording = set(overlap.known_wording())
    first = 0
    for group in groups:
        mine = range(first, first + len(group.texts))
        first = mine.stop
        here = [
            Match(each.source, each.sought - mine.start, each.share)
            for each in matches
            if each.sought in mine
        ]
        inside = [each for each in here if not _is_another_task(rows, group, each)]
        found = {each.sought for each in inside}
        others = [each for each in here if each.sought not in found]
        if inside:
            leaks.findings.append(_finding(split, rows, group, inside))
        if others:
            leaks.findings.append(_with_other_tools(split, rows, group, others))
        if group.suite is not None and found and split is Split.TRAIN:
            leaks.leaked[group.suite.hash] = tuple(sorted(group.labels[at] for at in found))
        known = [at - mine.start for at in mine if at in wording and at - mine.start not in found]
        if known and split is Split.TRAIN:
            leaks.findings.append(_same_wording(group, known))


def _is_another_task(rows: Sequence[Row], group: _Group, match: Match) -> bool:
    """A short question has another right answer where other tools are offered, or none."""
    short = not group.texts[match.sought].size
    return short and group.tools[match.sought] != _names(rows[match.source])


def _names(offers: Row | EvalPrompt) -> frozenset[str]:
    return frozenset(tool.name for tool in offers.tools)


def _finding(
    split: Split, rows: Sequence[Row], group: _Group, matches: Sequence[Match]
) -> DataFinding:
    best = _best(matches)
    details: dict[str, JsonValue] = {"split": split.value, "rows": len({m.source for m in matches})}
    if group.suite is not None:
        details |= {"suite": group.suite.name, "suite_hash": group.suite.hash}
    trained = split is Split.TRAIN
    return DataFinding(
        check=LEAKAGE,
        severity=Severity.ERROR if trained else Severity.WARNING,
        what=f"{_so_many(best, group)} in the rows of {split}, or nearly",
        places=tuple(_place(rows, group, best[at]) for at in sorted(best)[:SHOWN_PLACES]),
        count=len(best),
        hint=f"take these rows out of {split}: a score on what was "
        f"{'trained' if trained else 'chosen by'} proves nothing",
        details=details,
    )


def _with_other_tools(
    split: Split, rows: Sequence[Row], group: _Group, matches: Sequence[Match]
) -> DataFinding:
    best = _best(matches)
    return DataFinding(
        check=LEAKAGE,
        severity=Severity.NOTE,
        what=f"{_so_many(best, group)} in the rows of {split}, with other tools",
        places=tuple(_place(rows, group, best[at]) for at in sorted(best)[:SHOWN_PLACES]),
        count=len(best),
        hint="no leak, where the other tools call for another answer",
    )


def _best(matches: Sequence[Match]) -> dict[int, Match]:
    """Of each text that is found, the match with the most of it."""
    best: dict[int, Match] = {}
    for each in matches:
        if each.sought not in best or each.share > best[each.sought].share:
            best[each.sought] = each
    return best


def _so_many(found: Mapping[int, Match], group: _Group) -> str:
    verb = "is" if len(found) == 1 else "are"
    return f"{len(found):,} of {group.name} ({len(group.texts):,}) {verb}"


def _place(rows: Sequence[Row], group: _Group, match: Match) -> Place:
    row = rows[match.source]
    return place_of(row, f"has {group.labels[match.sought]}: {match.how}")


def _same_wording(group: _Group, known: Sequence[int]) -> DataFinding:
    return DataFinding(
        check="wording",
        severity=Severity.NOTE,
        what=f"{len(known):,} of {group.name} ({len(group.texts):,}) have the wording of several "
        "training rows, with other values",
        places=tuple(
            Place(file=group.labels[at])
            if group.suite is None
            else Place(file=group.suite.name, what=group.labels[at])
            for at in known[:SHOWN_PLACES]
        ),
        count=len(known),
        hint="they measure new values, not new wordings",
    )

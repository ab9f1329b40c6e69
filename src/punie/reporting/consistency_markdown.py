"""Consistency as GitHub-flavoured markdown, for pull requests and notes: pure."""

from punie.records.consistency import Capability, Consistency, Mark, PromptConsistency
from punie.reporting import consistency_wording as words
from punie.reporting import numbers
from punie.reporting.escaping import code, defang, escape, table
from punie.reporting.heat_map import legend, strip

LISTED = 200
"""Prompts that the table holds; the JSON has all of them."""
_STRIP = 32


def consistency_markdown(found: Consistency) -> str:
    """Write all that the terminal shows, and a table of the prompts."""
    remarks = [line for line in (words.draws(found), *found.cautions) if line]
    sections = [
        f"## Consistency: {escape(words.title(found))}",
        f"**{escape(words.verdict(found))}.** {escape(words.advice(found))}".strip(),
        "\n".join(f"- {escape(defang(line))}" for line in remarks),
        _slices(found),
        _sentences(found),
        escape(words.hedges(found)) if found.sampled and found.overall.curve else "",
        _lines("How alike the answers are", words.steadiness(found.overall)),
        _lines(
            "Greedy against sampled",
            [line._replace(words=escape(line.words)) for line in words.greedy(found)],
        ),
        _prompts(found),
        escape(words.SAME_ANSWER) if found.overall.unique is not None else "",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _slices(found: Consistency) -> str:
    k = numbers.count(found.k)
    heads = ["", "n", "Consistency", "pass@1", f"pass@{k}", f"pass^{k}"]
    heads += [word.value for word in Capability]
    lines: list[list[str]] = []
    for kind, each in words.rows(found):
        points = words.ends(each)
        chances = (points[0].pass_at, points[1].pass_at, points[1].pass_hat) if points else ()
        name = escape(each.name) if kind == "category" else f"{kind} {escape(each.name)}"
        lines.append(
            [
                "**overall**" if kind == "overall" else name,
                numbers.count(each.prompts),
                numbers.percent_interval(each.rate),
                *(map(numbers.percent_interval, chances) if chances else [numbers.NOTHING] * 3),
                *(words.share(each, word) for word in Capability),
            ]
        )
    return table(heads, lines, right=range(1, 9))


def _sentences(found: Consistency) -> str:
    return "\n".join(
        f"- **{escape(each.name)}**: {words.sentence(found, each)}" for _, each in words.rows(found)
    )


def _lines(title: str, lines: list[words.Line]) -> str:
    if not lines:
        return ""
    body = table(["Measure", "Value"], [[name, told] for name, told in lines])
    return f"### {title}\n\n{body}"


def _prompts(found: Consistency) -> str:
    """Every prompt as a strip of its answers, in the order of the heat map."""
    kept = found.overall.unique is not None
    heads = ["Prompt", "Category", "Answers", "Right"]
    heads += ["Different", "Entropy", "The commonest"] if kept else []
    listed = words.ordered(found.prompts)[:LISTED]
    body = table(heads, [_prompt(each, kept=kept) for each in listed], right=(3, 4, 5))
    shown = [mark for mark in Mark if any(mark in each.marks for each in listed)]
    rest = len(found.prompts) - len(listed)
    more = f"And {numbers.count(rest)} more, in the JSON." if rest else ""
    parts = ["### Prompts", legend(shown), body, more]
    return "\n\n".join(part for part in parts if part)


def _prompt(each: PromptConsistency, *, kept: bool) -> list[str]:
    cells = [
        code(each.id),
        escape(each.category),
        strip(each.marks, _STRIP),
        f"{numbers.count(each.right)} of {numbers.count(each.scored)}",
    ]
    if not kept:
        return cells
    entropy = numbers.NOTHING if each.entropy_bits is None else f"{each.entropy_bits:.2f}"
    return [*cells, numbers.count(each.unique), entropy, escape(defang(words.majority(each)))]

"""A judge's marks as GitHub-flavoured markdown: pure."""

from punie.records.judgement import JudgeSummary
from punie.reporting.escaping import defang, escape, table
from punie.reporting.judged import (
    ASIDE,
    figures,
    identity_line,
    judge_title,
    mark_rows,
    remarks,
    stamp,
)


def judged_markdown(summary: JudgeSummary | None) -> str:
    """What the judge says by dimension, what to know of it, and what it took; empty without one."""
    if summary is None:
        return ""
    rows = [
        [escape(row.name), row.mark, row.interval, row.scale, row.n] for row in mark_rows(summary)
    ]
    heads = ["Dimension", "Mark", "95 % interval", "Scale", "Prompts"]
    said = [f"- {escape(defang(each))}" for each in (stamp(summary), *remarks(summary))]
    return "\n\n".join(
        [
            "### What a judge says",
            f"{escape(defang(judge_title(summary)))}. {ASIDE}",
            table(heads, rows, right=(1, 2, 3, 4)) if rows else "No marks.",
            "\n".join(said),
            f"Judged: {escape(figures(summary))}. Judge: {escape(identity_line(summary))}.",
        ]
    )

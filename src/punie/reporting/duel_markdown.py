"""Wins, losses and ties before a judge as GitHub-flavoured markdown: pure."""

from punie.records.duel import DuelSummary
from punie.reporting.duel import (
    duel_rows,
    duel_title,
    figures,
    remarks,
    stamp,
    steadiness,
    verdict,
)
from punie.reporting.escaping import defang, escape, table
from punie.reporting.judged import identity_line


def duel_markdown(summary: DuelSummary | None) -> str:
    """What the judge prefers, what to know of it, and what it took; empty without one."""
    if summary is None:
        return ""
    heads = ["", "W/L/T", "Win rate", "Without ties", "Ratio", "Ties", "Sign test p", "Note"]
    rows = [
        [
            f"**{row.name}**" if row.kind == "overall" else escape(row.name),
            row.counts,
            row.win_rate,
            row.decisive_rate,
            row.ratio,
            row.ties,
            escape(row.sign),
            escape(row.note),
        ]
        for row in duel_rows(summary)
    ]
    told = f"**{escape(verdict(summary))}** {escape(defang(duel_title(summary)))}"
    said = [*steadiness(summary), stamp(summary), *remarks(summary)]
    return "\n\n".join(
        [
            "### What a judge prefers",
            f"{told}. In a win rate a tie counts half.",
            table(heads, rows, right=(1, 2, 3, 4, 5, 6)),
            "\n".join(f"- {escape(defang(line))}" for line in said),
            f"Judged: {escape(figures(summary))}. Judge: {escape(identity_line(summary))}.",
        ]
    )

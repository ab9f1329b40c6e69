"""The style that charts of comparisons share, beside that of every chart.

It stands apart because a journal entry is held to the bytes of its charts: what a run's own charts
bring with them stays as it is.
"""

from punie.records.comparison import Difference

VERDICT_CSS = """
.chart .zero{stroke:var(--muted);stroke-width:1}
.chart .gain{stroke:var(--pass);fill:var(--pass)}
.chart .loss{stroke:var(--fail);fill:var(--fail)}
.chart .open{stroke:var(--ink);fill:var(--ink)}
.chart .reach{stroke-width:2}
.chart .dot{stroke:var(--surface);stroke-width:1.5}
.chart .hollow{fill:var(--surface);stroke:var(--muted);stroke-width:2}
.chart .thin{stroke:var(--muted);stroke-width:1.5}
.chart .soft{fill:var(--muted);opacity:.35}
.chart .fixed{fill:var(--pass)}
.chart .regressed{fill:var(--fail)}
.chart .failing{fill:var(--muted)}
.chart .kept{fill:var(--track);stroke:var(--line)}
.chart .stripe{stroke:var(--surface);stroke-width:2.5}
"""
STANDALONE_VERDICT_CSS = (
    ".chart{--pass:#0b7468;--fail:#b8400f}"
    "@media (prefers-color-scheme:dark){.chart{--pass:#4fc4b2;--fail:#f4895c}}" + VERDICT_CSS
)


def leaning(found: Difference) -> str:
    """The class of a difference: a clear gain or loss, or open; words beside it say it too."""
    return "gain" if found.clearly_above else "loss" if found.clearly_below else "open"

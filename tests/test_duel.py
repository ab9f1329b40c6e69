"""Wins, losses, ties and what a judge's own biases look like, against oracles and by hand."""

# scipy and statsmodels carry no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyright: reportAttributeAccessIssue=false

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from punie.analysis.duel import SMALL, kendall_tau, length_bias, settled, summarize
from punie.records.duel import Duel, DuelOutcome, DuelSummary
from punie.records.judgement import JudgeFaultKind, JudgeIdentity
from punie.reporting.comparison_tables import duel_of
from punie.reporting.duel import remarks, verdict
from punie.reporting.duel_markdown import duel_markdown
from punie.reporting.duel_terminal import duel_view

WIN, LOSS, TIE = DuelOutcome.WIN, DuelOutcome.LOSS, DuelOutcome.TIE
JUDGE = JudgeIdentity(model="judge", backend="endpoint", prompt_hash="p", rubric_hash="r")
S3 = {
    # category: (wins, losses, ties, score, win rate without ties), as an earlier benchmark of
    # six categories told them.
    "knowledge": (45, 5, 0, 0.90, 0.90),
    "reasoning": (43, 7, 0, 0.86, 0.86),
    "instruction": (33, 7, 10, 0.76, 0.825),
    "creativity": (2, 1, 2, 0.60, 2 / 3),
    "code": (24, 16, 10, 0.58, 0.60),
    "math": (3, 12, 35, 0.41, 0.20),
}


def duel(number: int, outcome: DuelOutcome | None, **more: object) -> Duel:
    said = {"current_first": outcome, "base_first": outcome} | more
    return Duel(id=f"p{number}", hash=f"h{number}", outcome=outcome, **said)  # pyright: ignore[reportArgumentType]


def of_counts(wins: int, losses: int, ties: int, category: str = "general") -> list[Duel]:
    outcomes = [WIN] * wins + [LOSS] * losses + [TIE] * ties
    return [
        Duel(
            id=f"{category}-{at}",
            hash=f"{category}-{at}",
            category=category,
            outcome=outcome,
            current_first=outcome,
            base_first=outcome,
        )
        for at, outcome in enumerate(outcomes)
    ]


def test_the_six_categories_of_an_earlier_benchmark_come_out_as_they_were_told():
    duels = [each for name, row in S3.items() for each in of_counts(row[0], row[1], row[2], name)]

    summary = summarize(duels, judge=JUDGE)

    assert [each.name for each in summary.categories] == list(S3)
    for each in summary.categories:
        wins, losses, ties, score, decisive = S3[each.name]
        assert (each.wins, each.losses, each.ties) == (wins, losses, ties)
        assert each.win_rate is not None
        assert each.decisive_rate is not None
        assert each.tie_share is not None
        assert each.win_rate.value == pytest.approx(score)
        assert each.decisive_rate.value == pytest.approx(decisive)
        assert each.win_ratio == pytest.approx(wins / losses)
        assert each.tie_share.value == pytest.approx(ties / (wins + losses + ties))
        assert each.too_small == (each.name == "creativity")
    assert (summary.overall.wins, summary.overall.losses, summary.overall.ties) == (150, 48, 57)


@pytest.mark.parametrize("counts", [row[:3] for row in S3.values()])
def test_intervals_and_the_sign_test_are_those_of_the_oracles(counts: tuple[int, int, int]):
    wins, losses, ties = counts
    overall = summarize(of_counts(*counts), judge=JUDGE).overall

    assert overall.decisive_rate is not None
    assert overall.tie_share is not None
    assert overall.sign_p is not None
    low, high = proportion_confint(wins, wins + losses, method="wilson")
    assert (overall.decisive_rate.low, overall.decisive_rate.high) == pytest.approx((low, high))
    low, high = proportion_confint(ties, sum(counts), method="wilson")
    assert overall.tie_share.low == pytest.approx(low, abs=1e-9)
    assert overall.tie_share.high == pytest.approx(high, abs=1e-9)
    assert overall.sign_p == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, abs=1e-9)


def test_the_interval_of_the_win_rate_with_ties_is_no_narrower_than_its_spread_says():
    overall = summarize(of_counts(3, 12, 35), judge=JUDGE).overall
    values = [1.0] * 3 + [0.0] * 12 + [0.5] * 35

    assert overall.win_rate is not None
    student = stats.t.interval(0.95, 49, loc=0.41, scale=stats.sem(values))
    assert overall.win_rate.low <= student[0]
    assert overall.win_rate.high >= student[1]


def test_a_disagreement_of_the_two_orders_is_a_tie():
    for one in DuelOutcome:
        for other in DuelOutcome:
            assert settled(one, other) is (one if one is other else TIE)


def test_a_judge_that_always_takes_the_first_place_decides_nothing():
    duels = [duel(n, TIE, current_first=WIN, base_first=LOSS) for n in range(40)]

    summary = summarize(duels, judge=JUDGE)

    assert (summary.overall.wins, summary.overall.losses, summary.overall.ties) == (0, 0, 40)
    assert summary.overall.sign_p is None
    assert summary.overall.win_ratio is None
    assert summary.overall.decisive_rate is None
    assert summary.consistency is not None
    assert summary.consistency.value == 0
    assert summary.first_place is not None
    assert summary.first_place.value == 1
    # Two decisions on one pair are not two independent ones.
    low, _ = proportion_confint(40, 40, method="wilson")
    assert summary.first_place.low == pytest.approx(low)
    assert any("first place" in line for line in summary.warnings)
    assert any("changes its mind" in line for line in summary.warnings)


def test_a_judge_that_is_sure_of_itself_is_fair_to_both_places():
    summary = summarize(of_counts(30, 20, 0), judge=JUDGE)

    assert summary.consistency is not None
    assert summary.consistency.value == 1
    assert summary.first_place is not None
    assert summary.first_place.value == 0.5
    assert summary.warnings == ()


def test_faults_and_equal_answers_stand_apart():
    equal = Duel(id="e", hash="e", outcome=TIE, equal=True)
    prose = duel(1, None, current_first=None, base_first=None, fault=JudgeFaultKind.PROSE)
    half = Duel(id="half", hash="half", current_first=WIN, fault=JudgeFaultKind.UNANSWERED)

    summary = summarize([*of_counts(2, 1, 0), equal, prose, half], judge=JUDGE, unanswered=3)

    assert (summary.overall.wins, summary.overall.losses, summary.overall.ties) == (2, 1, 1)
    assert (summary.overall.faults, summary.overall.judged) == (2, 4)
    assert (summary.equal, summary.unanswered) == (1, 3)
    assert summary.consistency is not None
    assert summary.consistency.n == 3
    assert any("no usable word on 2 of 6" in line for line in summary.warnings)


def test_why_a_pair_has_no_word_is_said_in_every_report():
    said = {"fault": JudgeFaultKind.PROSE, "fault_message": "no JSON in the answer"}
    prose = [duel(at, None, **said) for at in (1, 2)]
    lost = [duel(3, None, fault=JudgeFaultKind.UNANSWERED)]
    summary = summarize([*of_counts(2, 1, 0), *lost, *prose], judge=JUDGE)

    why = ("2 pairs: prose instead of a judgement, e.g. p1: no JSON in the answer.",
           "1 pair: judge did not answer.")  # fmt: skip
    assert list(remarks(summary))[1:3] == list(why)
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(duel_view(summary))
    table = duel_of(summary)
    assert table is not None
    for told in (capture.get(), duel_markdown(summary), "\n".join(table.remarks)):
        assert all(each in told for each in why)


def test_nothing_judged_gives_no_number():
    overall = summarize([], judge=JUDGE).overall

    assert overall.win_rate is None
    assert overall.tie_share is None
    assert overall.sign_p is None
    assert overall.too_small


def test_pairs_of_one_group_count_as_what_they_are_worth():
    alone = summarize(of_counts(30, 10, 0), judge=JUDGE).overall.win_rate
    together = [
        Duel(
            id=each.id,
            hash=each.hash,
            group=f"passage-{at // 10}",
            outcome=each.outcome,
            current_first=each.outcome,
            base_first=each.outcome,
        )
        for at, each in enumerate(of_counts(30, 10, 0))
    ]
    grouped = summarize(together, judge=JUDGE).overall.win_rate

    assert alone is not None
    assert grouped is not None
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_a_small_category_says_so():
    at_the_bound = summarize(of_counts(SMALL, 0, 0), judge=JUDGE).overall
    below = summarize(of_counts(SMALL - 1, 0, 0), judge=JUDGE).overall

    assert (at_the_bound.too_small, below.too_small) == (False, True)


def test_a_judge_that_rewards_length_is_found_out():
    draw = random.Random(3)
    duels: list[Duel] = []
    for number in range(60):
        base, current = draw.randint(10, 400), draw.randint(10, 400)
        outcome = TIE if base == current else WIN if current > base else LOSS
        duels.append(duel(number, outcome, base_length=base, current_length=current))

    bias = length_bias(duels)

    assert bias.tau is not None
    assert bias.tau > 0.6
    assert bias.longer_wins is not None
    assert bias.longer_wins.value == 1
    assert bias.warns
    assert any("longer answer" in line for line in summarize(duels, judge=JUDGE).warnings)


def test_a_judge_that_does_not_care_for_length_is_not_blamed():
    draw = random.Random(4)
    duels = [
        duel(
            number,
            draw.choice([WIN, LOSS, TIE]),
            base_length=draw.randint(10, 400),
            current_length=draw.randint(10, 400),
        )
        for number in range(200)
    ]

    assert not length_bias(duels).warns


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.sampled_from([0.0, 0.5, 1.0])), min_size=2).filter(
        lambda rows: len({a for a, _ in rows}) > 1 and len({b for _, b in rows}) > 1
    )
)
def test_tau_is_scipys(rows: list[tuple[int, float]]):
    first, second = [a for a, _ in rows], [b for _, b in rows]

    assert kendall_tau(first, second) == pytest.approx(
        stats.kendalltau(first, second).statistic, abs=1e-9
    )


@pytest.mark.parametrize("rows", [([], []), ([1], [1]), ([1, 2], [1, 1]), ([3, 3], [0, 1])])
def test_tau_of_what_never_varies_is_nothing(rows: tuple[list[float], list[float]]):
    assert kendall_tau(*rows) is None


def many() -> DuelSummary:
    return summarize(
        [each for name, row in S3.items() for each in of_counts(row[0], row[1], row[2], name)],
        judge=JUDGE,
    )


@pytest.mark.parametrize("width", [40, 60, 100, 160])
def test_the_table_fits_its_window(width: int):
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(duel_view(many()))
    shown = capture.get()

    assert max(map(len, shown.splitlines())) <= width
    assert "33/7/10" in shown
    assert "…" not in shown
    assert ("4.71:1" in shown) == (width >= 100)
    assert ("only 5 pairs" in shown) == (width >= 60)
    assert "Too few pairs to say anything: creativity." in " ".join(shown.split())


def test_markdown_shows_names_and_does_not_obey_them():
    hostile = "![x](http://evil.example/p.png) | <img src=x> @someone"
    summary = summarize(of_counts(2, 1, 0, hostile), judge=JUDGE)

    written = duel_markdown(summary)

    assert "<img" not in written
    assert "![" not in written
    assert "http://" not in written
    assert "@someone" not in written
    assert duel_markdown(None) == ""


@pytest.mark.parametrize(
    ("duels", "said"),
    [
        (of_counts(150, 48, 57), "The current run is preferred 150 to 48"),
        (of_counts(10, 40, 0), "The base run is preferred 10 to 40"),
        (of_counts(5, 4, 3), "No clear winner: 5 to 4"),
        (of_counts(0, 0, 9), "The judge calls every pair a tie."),
        ([Duel(id="e", hash="e", outcome=TIE, equal=True)], "nothing to judge"),
        (
            [
                Duel(id="e", hash="e", outcome=TIE, equal=True),
                Duel(id="f", hash="f", fault=JudgeFaultKind.PROSE),
            ],
            "no usable word on any pair",
        ),
    ],
)
def test_the_verdict_in_one_sentence(duels: list[Duel], said: str):
    assert said in verdict(summarize(duels, judge=JUDGE))

"""Collected interactions: what is found under which key, and what all of them say."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from punie.analysis.interactions import InteractionTally, against_plan, share
from punie.datasets.baseline import (
    baseline_of,
    metrics_json,
    metrics_of,
    read_baseline,
    read_metrics,
)
from punie.datasets.interaction_fields import parse_fields, unit_of
from punie.datasets.interactions import read_interactions
from punie.errors import DataError, InputError
from punie.records.interactions import Deviation, Interaction, Interactions
from punie.reporting.interactions_markdown import interaction_charts, interactions_markdown
from punie.reporting.interactions_terminal import interactions_view

ROLES = {"coder": 178, "tester": 76, "researcher": 26, "coordinator": 20, "reviewer": 2}
PROVIDERS = {"replicate": 215, "tongyi": 86, "mock": 1}
PLANNED = {"coder": 0.35, "tester": 0.20, "researcher": 0.20, "coordinator": 0.15, "reviewer": 0.10}


def published() -> Iterator[dict[str, Any]]:
    """302 made-up lines with the totals, shares and times of a published baseline."""
    chance = Random(1)
    roles = [name for name, n in ROLES.items() for _ in range(n)]
    providers = [name for name, n in PROVIDERS.items() for _ in range(n)]
    chance.shuffle(roles)
    chance.shuffle(providers)
    # Half of the times lie below the median; the rest is set so that the mean is met exactly.
    times = [30.0, *[5000.0] * 149, 10_896.0, 10_896.0, *[20_000.0] * 149, 138_289.0]
    missing = 20_062 * 302 - sum(times)
    times[152:301] = [each + missing / 149 for each in times[152:301]]
    chance.shuffle(times)
    for at, (role, provider, ms) in enumerate(zip(roles, providers, times, strict=True)):
        yield {
            "timestamp": f"2025-09-{1 + at // 24:02}T{at % 24:02}:00:00Z",
            "agent_role": role,
            "provider": provider,
            "success": at >= 4,
            "duration_ms": ms,
            "task": "t" * 75,
            "output": "o" * 2008,
            "error": f"no answer after {60 + at} s" if at < 4 else None,
        }


def a_file(folder: Path, *rows: Any, name: str = "log.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def read(folder: Path, *rows: Any, **options: Any) -> Interactions:
    found, warnings = read_interactions([(a_file(folder, *rows), "log.jsonl")], **options)
    assert warnings == ()
    return found


def refused(folder: Path, *rows: Any, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        read(folder, *rows, **options)
    return error.value.message


def test_the_numbers_of_a_published_baseline(tmp_path: Path):
    found = read(tmp_path, *published())
    metrics = json.loads(metrics_json(metrics_of(found)))
    metrics.pop("punie")
    assert metrics == {
        "total_interactions": 302,
        "successful": 298,
        "failed": 4,
        "success_rate": 0.987,
        "duration_stats": {
            "avg_ms": 20062,
            "median_ms": 10896,
            "min_ms": 30,
            "max_ms": 138289,
        },
        "agent_distribution": ROLES,
        "provider_distribution": PROVIDERS,
    }
    percent = [round(100 * each.share.value, 1) for each in found.roles]
    assert percent == [58.9, 25.2, 8.6, 6.6, 0.7]
    assert [round(100 * each.share.value, 1) for each in found.providers] == [71.2, 28.5, 0.3]
    assert found.task_length is not None
    assert found.output_length is not None
    assert (found.task_length.mean, found.output_length.mean) == (75, 2008)
    assert [(each.message, each.count) for each in found.errors] == [("no answer after … s", 4)]
    assert found.timeline is not None
    assert (found.timeline.period, len(found.timeline.periods)) == ("day", 13)


def test_planned_and_actual_roles_of_it():
    deviations = {each.role: each.deviation for each in against_plan(ROLES, PLANNED)}
    assert deviations == {
        "coder": Deviation.MORE,
        "tester": Deviation.UNCLEAR,
        "researcher": Deviation.FEWER,
        "coordinator": Deviation.FEWER,
        "reviewer": Deviation.FEWER,
    }


def test_a_role_that_nobody_planned_and_one_that_never_came():
    found = {each.role: each for each in against_plan({"coder": 40}, {"planner": 1.0})}
    assert found["coder"].deviation is Deviation.MORE
    assert found["planner"].deviation is Deviation.FEWER


def test_a_plan_is_rarely_called_missed_by_chance():
    """Draws from the plan itself: at most 5 % of the tables have any wrong word."""
    chance, tables = Random(7), 400
    names, weights = list(PLANNED), list(PLANNED.values())
    wrong = 0
    for _ in range(tables):
        drawn = chance.choices(names, weights, k=120)
        counts = {name: drawn.count(name) for name in set(drawn)}
        found = against_plan(counts, PLANNED)
        wrong += any(each.deviation is not Deviation.UNCLEAR for each in found)
    assert wrong / tables <= 0.06


@pytest.mark.parametrize(
    ("row", "succeeded"),
    [
        ({"success": True}, True),
        ({"status": "Completed"}, True),
        ({"status": "timed-out"}, False),
        ({"status": 200}, True),
        ({"status": 503}, False),
        ({"ok": 0}, False),
        ({"metadata": {"isSuccess": True}}, True),
        ({"error": {"message": "boom"}}, False),
        ({"status": "running"}, None),
        ({"success": None, "state": "failed"}, False),
        ({"outcome": "California", "passed": True}, True),
        ({"error": None}, None),
    ],
)
def test_success_under_its_usual_names(tmp_path: Path, row: dict[str, Any], succeeded: bool | None):
    found = read(tmp_path, row)
    told = {(1, 0): True, (0, 1): False, (0, 0): None}[found.successful, found.failed]
    assert told is succeeded


@pytest.mark.parametrize(
    ("row", "seconds"),
    [
        ({"duration_ms": 1500}, 1.5),
        ({"latencySeconds": 1.5}, 1.5),
        ({"latency_s": 1.5}, 1.5),
        ({"metrics": {"response_time_us": 1_500_000}}, 1.5),
        ({"time_ms": 1500}, 1.5),
        ({"elapsed_min": 0.025}, 1.5),
        ({"totalTimeMS": 1500}, 1.5),
        ({"duration": 7, "duration_ms": 1500}, 1.5),
    ],
)
def test_durations_by_the_unit_in_their_name(tmp_path: Path, row: dict[str, Any], seconds: float):
    found = read(tmp_path, row)
    assert found.duration is not None
    assert found.duration.mean == pytest.approx(seconds)


def test_a_duration_without_a_unit_is_not_guessed(tmp_path: Path):
    path = a_file(tmp_path, {"duration": 12, "success": True})
    found, warnings = read_interactions([(path, "log.jsonl")])
    assert found.duration is None
    assert warnings == (
        (
            "duration (1 lines) tells no unit and was not read: "
            "--field duration_ms=duration or --field duration_s=duration"
        ),
    )
    mapped = read(tmp_path, {"duration": 12, "success": True}, mapping={"duration_ms": "duration"})
    assert mapped.duration is not None
    assert mapped.duration.mean == 0.012


@pytest.mark.parametrize("key", ["latency", "s", "ms", "runtimes", "tasks", "duration_hz"])
def test_what_is_no_duration(key: str):
    assert unit_of(key) is None


@pytest.mark.parametrize(
    "written",
    [
        "2025-10-01T12:00:00Z",
        "2025-10-01T14:00:00+02:00",
        "2025-10-01 12:00",
        1_759_320_000,
        1_759_320_000_000,
        1_759_320_000_000_000,
        "1759320000.0",
    ],
)
def test_times_of_day_in_every_form(tmp_path: Path, written: Any):
    found = read(tmp_path, {"timestamp": written})
    assert found.timeline is not None
    assert [each.start for each in found.timeline.periods] == ["2025-10-01T12:00Z"]


def test_mapped_fields_with_dots_and_words_of_ones_own(tmp_path: Path):
    rows = [
        {"agent": {"kind": "coder"}, "verdict": "resolved", "a.b": "x", "role": "user"},
        {"agent": {"kind": "tester"}, "verdict": "given up", "a.b": "y", "role": "user"},
    ]
    mapping = parse_fields(["role=agent.kind", "success=verdict", "provider=a.b"])
    statuses = {"resolved": True, "Given Up": False}
    found = read(tmp_path, *rows, mapping=mapping, statuses=statuses)
    assert [each.name for each in found.roles] == ["coder", "tester"]
    assert [each.name for each in found.providers] == ["x", "y"]
    assert (found.successful, found.failed) == (1, 1)
    assert found.fields["role"] == {"agent.kind": 2}


def test_a_field_that_is_not_to_be_read(tmp_path: Path):
    assert "time" in refused(tmp_path, {"time": 12.5})
    found = read(tmp_path, {"time": 12.5}, mapping={"time": ""})
    assert found.timeline is None


def test_the_runs_that_punie_exports_are_interactions_too(tmp_path: Path):
    row = {
        "run": "r",
        "model": "m",
        "role": "coder",
        "passed": False,
        "latency_s": 0.5,
        "answer": "a",
    }
    found = read(tmp_path, row)
    assert (found.failed, found.roles[0].name, found.providers[0].name) == (1, "coder", "m")
    assert found.duration is not None


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1], "log.jsonl:1:1: should be an object"),
        ({"status": "weird"}, "log.jsonl:1:12 status: 'weird' means neither success nor failure"),
        ({"success": 0.7}, "success: this number is neither 0, 1 nor a status of HTTP"),
        ({"duration_ms": "fast"}, "duration_ms: should be a number"),
        ({"duration_ms": True}, "duration_ms: should be a number"),
        ({"duration_s": -1}, "duration_s: is no duration between 0 and a year"),
        ({"duration_s": 10**400}, "duration_s: is no duration between 0 and a year"),
        ({"success": 10**400}, "success: this number is neither 0, 1 nor a status of HTTP"),
        ({"timestamp": 10**400}, "timestamp: is no time between 1990 and 2200"),
        ({"timestamp": -(10**400)}, "timestamp: is no time between 1990 and 2200"),
        ({"timestamp": 0}, "timestamp: is no time between 1990 and 2200"),
        ({"timestamp": "yesterday"}, "timestamp: is no time: ISO 8601, or seconds since 1970"),
        ({"timestamp": 1e300}, "timestamp: is no time between 1990 and 2200"),
        ({"timestamp": "nan"}, "timestamp: is no time between 1990 and 2200"),
        ({"metrics": {"latency_ms": []}, "latency_ms": "x"}, "latency_ms: should be a number"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_named_with_its_place(tmp_path: Path, row: Any, said: str):
    assert said in refused(tmp_path, row)


def test_all_broken_lines_are_named_at_once(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"success": true}\n{"success": \n\xff\n{"a": NaN}\n{"b": 1, "b": 2}\n{}\n')
    with pytest.raises(DataError) as error:
        read_interactions([(path, "log.jsonl")])
    places = [(problem.line, problem.column) for problem in error.value.problems]
    assert places == [(2, 13), (3, 1), (4, 7), (5, 10)]


def test_a_torn_last_line_is_a_warning(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"success": true}\n{"success": tr')
    found, warnings = read_interactions([(path, "log.jsonl")])
    assert found.total == 1
    assert warnings == ("log.jsonl:2: the last line is torn off and left out",)
    path.write_text('{"success": true}\n{"success": tr\n')
    with pytest.raises(DataError, match=r"log\.jsonl:2"):
        read_interactions([(path, "log.jsonl")])


def test_several_files_are_one_and_a_repeated_one_is_noticed(tmp_path: Path):
    one = a_file(tmp_path, {"success": True}, name="one.jsonl")
    two = a_file(tmp_path, {"success": False}, name="two.jsonl")
    found, warnings = read_interactions([(one, "one.jsonl"), (two, "two.jsonl"), (one, "again")])
    assert (found.successful, found.failed) == (2, 1)
    assert [each.interactions for each in found.files] == [1, 1, 1]
    assert warnings == ("again has the same content as one.jsonl: it is counted twice",)


@pytest.mark.parametrize("text", ["", "\n\n", "{"])
def test_a_file_without_interactions(tmp_path: Path, text: str):
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="no interactions"):
        read_interactions([(path, "log.jsonl")])


def test_a_mapped_key_that_no_line_has(tmp_path: Path):
    said = refused(tmp_path, {"success": True}, mapping={"role": "agent.kind"})
    assert said == "--field role=agent.kind: no line has it"


@pytest.mark.parametrize("field", ["success", "sucess=ok", "=ok", "duration=took"])
def test_a_field_option_that_says_nothing(tmp_path: Path, field: str):
    with pytest.raises(InputError, match="--field"):
        read(tmp_path, {"took": 1}, mapping=parse_fields([field]))


def test_a_field_of_a_thousand_names_is_no_role(tmp_path: Path):
    rows = [{"role": f"role {at}"} for at in range(600)]
    assert "more than 500 different values of role" in refused(tmp_path, *rows)


def test_the_timeline_stays_short_however_long_the_time(tmp_path: Path):
    rows = [{"timestamp": 700_000_000 + at * 40_000_000} for at in range(100)]
    found = read(tmp_path, *rows, {"timestamp": "2024-02-29T23:59:59Z"}, {"success": True})
    assert found.timeline is not None
    assert found.timeline.period == "52 weeks"
    assert sum(each.count for each in found.timeline.periods) == 101
    assert found.timeline.untimed == 1


@given(st.lists(st.integers(631_152_000, 7_258_118_400), min_size=1, max_size=60))
def test_no_interaction_is_lost_between_periods(times: list[int]):
    tally = InteractionTally()
    for at in times:
        tally.add(Interaction(at=at, succeeded=bool(at % 2), duration_s=1))
    timeline = tally.summary().timeline
    assert timeline is not None
    assert sum(each.count for each in timeline.periods) == len(times)
    assert sum(each.successful for each in timeline.periods) == sum(at % 2 for at in times)
    starts = [each.start for each in timeline.periods]
    assert starts == sorted(set(starts))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["success", "status", "duration_ms", "latency", "role", "time", "error", "task", "result"]
)


@given(st.lists(st.dictionaries(KEYS, JSON), max_size=5), st.binary(max_size=20))
def test_any_lines_are_numbers_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], tail: bytes
):
    path = tmp_path_factory.mktemp("any") / "log.jsonl"
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    path.write_bytes(text.encode() + tail)
    try:
        found, _ = read_interactions([(path, "log.jsonl")])
    except InputError:
        return
    assert found.total <= len(rows) + 1
    assert Interactions.model_validate_json(found.model_dump_json()) == found
    assert baseline_of(metrics_of(found), "").interactions == found.total


# The baseline.


def test_a_baseline_comes_back_from_its_file(tmp_path: Path):
    found = read(tmp_path, *published())
    path = tmp_path / "baseline_metrics.json"
    path.write_text(metrics_json(metrics_of(found)))
    baseline = read_baseline(path)
    assert baseline.success == found.success
    assert baseline.mean_s == pytest.approx(20.062)
    assert baseline.role_success["coder"] == found.roles[0].success


def test_a_file_that_a_person_wrote_is_enough(tmp_path: Path):
    path = tmp_path / "metrics.json"
    path.write_text('{\n\t"total_interactions": 302,\n\t"success_rate": 0.987,\n\t"mine": [1]\n}\n')
    baseline = read_baseline(path)
    assert baseline.success == share(298, 302)
    assert (baseline.mean_s, baseline.role_success) == (None, {})


def test_another_version_of_punies_own_part_is_passed_over(tmp_path: Path):
    path = tmp_path / "metrics.json"
    path.write_text('{"total_interactions": 3, "failed": 1, "punie": {"schema_version": 99}}')
    assert read_baseline(path).success == share(2, 3)


def of_roles(*roles: tuple[str, int, float]) -> dict[str, Any]:
    """A metrics file of 50 successes and 50 failures whose own part tells these roles."""
    bounds = {"low": 0, "high": 1}
    groups = [
        {
            "name": name,
            "count": 50,
            "share": {"value": 0.5, "n": 100, **bounds},
            "success": {"value": value, "n": n, **bounds},
            "duration": None,
        }
        for name, n, value in roles
    ]
    counts = {"total": 100, "successful": 50, "failed": 50}
    return {
        "total_interactions": 100,
        "successful": 50,
        "failed": 50,
        "agent_distribution": {name: 50 for name, _, _ in roles},
        "punie": {**counts, "success": None, "duration": None, "roles": groups},
    }


def test_roles_that_add_up_to_the_counts_are_believed(tmp_path: Path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(of_roles(("coder", 50, 0.9), ("tester", 50, 0.1))))
    assert [each.value for each in read_baseline(path).role_success.values()] == [0.9, 0.1]


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ([("coder", 50, 0.99), ("tester", 50, 0.99)], "punie.roles: 100 successful and 0 failed"),
        ([("coder", 50, 0.01), ("tester", 50, 0.01)], "punie.roles: 0 successful and 100 failed"),
        ([("coder", 50, 5.0), ("tester", 50, 0.1)], "punie.roles[0].success.value: 5 is no share"),
        ([("coder", 50, 0.5), ("tester", 50, math.nan)], "roles[1].success.value: nan is no share"),
        ([("coder", 50, 1e308), ("tester", 50, 0.5)], "success.value: 1e+308 is no share"),
        ([("coder", 150, 0.5), ("tester", -50, 0.5)], "punie.roles[1].success.n: more or fewer"),
        ([("coder", 10**400, 0.5)], "punie.roles[0].success.n: more or fewer"),
        ([("coder", 51, 0.5)], "punie.roles[0].success.n: more or fewer"),
    ],
)
def test_punies_own_part_is_held_against_the_counts(
    tmp_path: Path, roles: list[tuple[str, int, float]], said: str
):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(of_roles(*roles)))
    with pytest.raises(InputError) as error:
        read_metrics(path)
    assert said in error.value.message


def test_punies_own_counts_are_held_against_those_around_them(tmp_path: Path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({**of_roles(), "total_interactions": 200, "failed": 150}))
    with pytest.raises(InputError) as error:
        read_metrics(path)
    assert "punie.total: 100 is not what the file says itself: 200" in error.value.message
    assert "punie.failed: 50 is not" in error.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "total_interactions: is missing"),
        ("[]", "should be a mapping"),
        ('{"total_interactions": 0}', ":1:24 total_interactions: should be greater than"),
        ('{"total_interactions": 5, "successful": 4, "failed": 4}', "8 together, more than 5"),
        ('{"total_interactions": 5, "successful": 4, "success_rate": 0.9}', "counts say: 0.8000"),
        ('{"total_interactions": 5, "agent_distribution": {"a": 4, "b": 4}}', "more than 5"),
        ('{"total_interactions": 5, "duration_stats": {"min_ms": 5, "max_ms": 4, "avg_ms": 4.5}}',
         "duration_stats.min_ms: 5 is more than avg_ms: 4.5"),
        ('{"total_interactions": 5, "success_rate": "98 %"}', "success_rate: should be"),
        ('{"total_interactions": 5', "metrics.json:2:1"),
    ],
)  # fmt: skip
def test_a_baseline_that_cannot_be(tmp_path: Path, text: str, said: str):
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_metrics(path)
    assert said in error.value.message


def test_a_rate_is_never_rounded_to_none_or_all(tmp_path: Path):
    rows = [{"success": True}] * 2999 + [{"success": False}]
    assert metrics_of(read(tmp_path, *rows)).success_rate == 2999 / 3000
    assert metrics_of(read(tmp_path, {"success": True})).success_rate == 1
    assert metrics_of(read(tmp_path, {"task": "x"})).success_rate is None


# What people see.


def printed(found: Interactions, width: int) -> str:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(interactions_view(found))
    return captured.get()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_terminal_shows_everything_in_any_width(tmp_path: Path, width: int):
    found = read(tmp_path, *published(), planned=PLANNED)
    shown = printed(found, width)
    assert max(map(len, shown.splitlines())) <= width
    for words in ("98.7 %", "coder", "replicate", "58.9 %", "no answer after"):
        assert words in shown


def test_hostile_names_stay_on_their_line(tmp_path: Path):
    name = "a|b\n<script>\x1b[31m"
    found = read(tmp_path, {"role": name, "provider": name, "status": "failed", "error": name})
    markdown = interactions_markdown(found)
    assert "<script" not in markdown.replace("`", "")
    assert "\x1b" not in markdown + printed(found, 80)
    for _, svg in interaction_charts(found).values():
        assert "<script" not in svg


def test_charts_say_their_numbers_in_words(tmp_path: Path):
    found = read(tmp_path, *published())
    charts = interaction_charts(found)
    assert list(charts) == [
        "roles",
        "success-by-role",
        "providers",
        "success-by-provider",
        "timeline",
    ]
    assert "coder 58.9 %" in charts["roles"][1]
    assert "302 interactions from 1 Sep 2025 to 13 Sep 2025" in charts["timeline"][1]

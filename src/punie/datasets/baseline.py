"""`baseline_metrics.json`: written from interactions, and read as what a run is held against."""

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from punie.analysis.interactions import share
from punie.errors import InputError, Problem
from punie.records.interactions import Baseline, BaselineMetrics, DurationStats, Interactions
from punie.records.summary import Estimate
from punie.sources.faults import wording
from punie.sources.yaml_source import DataPath, NotReadableError, YamlSource, read_text
from punie.text import inert_json

NAME = "baseline_metrics.json"
HINT = f"punie data interactions FILE --output {NAME} writes one"


def metrics_of(interactions: Interactions) -> BaselineMetrics:
    """The numbers in the shape of a metrics file, rounded; as they are under the key `punie`."""
    times = interactions.duration
    told = interactions.successful + interactions.failed
    return BaselineMetrics(
        total_interactions=interactions.total,
        successful=interactions.successful if told else None,
        failed=interactions.failed if told else None,
        success_rate=_rounded_rate(interactions.success),
        duration_stats=DurationStats(
            avg_ms=round(1000 * times.mean),
            median_ms=round(1000 * times.median),
            min_ms=round(1000 * times.min),
            max_ms=round(1000 * times.max),
        )
        if times
        else DurationStats(),
        agent_distribution={each.name: each.count for each in interactions.roles},
        provider_distribution={each.name: each.count for each in interactions.providers},
        punie=interactions.model_dump(mode="json"),
    )


def metrics_json(metrics: BaselineMetrics) -> str:
    """The file's text; whole milliseconds are whole numbers."""
    data = metrics.model_dump(mode="json")
    stats = data["duration_stats"]
    data["duration_stats"] = {
        key: int(value) if value is not None and value.is_integer() else value
        for key, value in stats.items()
    }
    written = json.dumps(data, indent=2, ensure_ascii=False)
    return inert_json(written) + "\n"


def read_metrics(path: Path) -> BaselineMetrics:
    """Read a metrics file of punie's or of a person's own script.

    Raises InputError with the place of everything that cannot be: numbers that contradict each
    other are no baseline.
    """
    file = str(path)
    try:
        # JSON is YAML, whose parser knows places, but for tabs, which no text of JSON can hold.
        source = YamlSource(file, read_text(path, file).replace("\t", " "))
    except NotReadableError as error:
        raise InputError(str(error.problem), hint=HINT) from None
    problems = list(source.problems)
    metrics: BaselineMetrics | None = None
    try:
        metrics = BaselineMetrics.model_validate(source.data, strict=True)
    except ValidationError as error:
        problems += [_problem(source, each) for each in error.errors(include_url=False)]
    if metrics is not None:
        problems += [source.problem(where, what) for where, what in _contradictions(metrics)]
    if problems or metrics is None:
        raise InputError("\n".join(map(str, problems)), hint=HINT)
    return metrics


def baseline_of(metrics: BaselineMetrics, source: str) -> Baseline:
    """What a metrics file says that a run can be held against; `source` names the file.

    Intervals are computed from the counts, whoever wrote the file. What it does not tell is None.
    """
    times = metrics.duration_stats
    return Baseline(
        source=source,
        interactions=metrics.total_interactions,
        success=_success(metrics),
        mean_s=_seconds(times.avg_ms),
        median_s=_seconds(times.median_ms),
        role_success=_role_success(metrics),
    )


def read_baseline(path: Path) -> Baseline:
    """Read a metrics file as what a run can be held against. Raises InputError."""
    return baseline_of(read_metrics(path), path.name)


def _rounded_rate(success: Estimate | None) -> float | None:
    """Three decimals, but never a 0 or 1 that is none."""
    if success is None:
        return None
    rounded = round(success.value, 3)
    return success.value if rounded in (0, 1) else rounded


def _success(metrics: BaselineMetrics) -> Estimate | None:
    total, rate = metrics.total_interactions, metrics.success_rate
    if metrics.successful is not None:
        failed = total - metrics.successful if metrics.failed is None else metrics.failed
        told = metrics.successful + failed
        return share(metrics.successful, told) if told else None
    if metrics.failed is not None:
        return share(total - metrics.failed, total)
    return None if rate is None else share(round(rate * total), total)


def _role_success(metrics: BaselineMetrics) -> dict[str, Estimate]:
    """From punie's own part of the file, where that is there and understood."""
    own = _own(metrics)
    return {each.name: each.success for each in own.roles if each.success} if own else {}


def _own(metrics: BaselineMetrics) -> Interactions | None:
    """Punie's own part of the file; None where that is not there or not understood."""
    try:
        return Interactions.model_validate(metrics.punie) if metrics.punie else None
    except ValidationError:  # of another version of punie: the rest of the file is enough
        return None


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _contradictions(metrics: BaselineMetrics) -> list[tuple[DataPath, str]]:
    total, rate = metrics.total_interactions, metrics.success_rate
    found: list[tuple[DataPath, str]] = []
    told = (metrics.successful or 0) + (metrics.failed or 0)
    if told > total:
        what = f"successful and failed are {told:,} together, more than {total:,}"
        found.append((("total_interactions",), what))
    counted = _success(metrics) if told <= total else None
    # A rate may have been rounded to two decimals, and 0.987 may have been cut from 0.98675.
    if rate is not None and counted and abs(rate - counted.value) > 0.0051:
        what = f"{rate:g} is not what the counts say: {counted.value:.4f}"
        found.append((("success_rate",), what))
    for key, counts in (
        ("agent_distribution", metrics.agent_distribution),
        ("provider_distribution", metrics.provider_distribution),
    ):
        if (whole := sum(counts.values())) > total:
            found.append(((key,), f"these are {whole:,} together, more than {total:,}"))
    times = metrics.duration_stats
    for low, high in (
        ("min_ms", "avg_ms"),
        ("min_ms", "median_ms"),
        ("avg_ms", "max_ms"),
        ("median_ms", "max_ms"),
    ):
        below, above = getattr(times, low), getattr(times, high)
        if below is not None and above is not None and below > above:
            found.append((("duration_stats", low), f"{below:g} is more than {high}: {above:g}"))
    own = _own(metrics)
    if own and told <= total:
        found += _own_contradictions(metrics, own, counted)
    return found


def _own_contradictions(
    metrics: BaselineMetrics, own: Interactions, counted: Estimate | None
) -> Iterator[tuple[DataPath, str]]:
    """What punie's own part of the file tells otherwise than the counts around it."""
    for key, inner, outer in (
        ("total", own.total, metrics.total_interactions),
        ("successful", own.successful, metrics.successful),
        ("failed", own.failed, metrics.failed),
    ):
        if outer is not None and inner != outer:
            yield ("punie", key), f"{inner:,} is not what the file says itself: {outer:,}"
    told = counted.n if counted else 0
    right = round(counted.value * counted.n) if counted else 0
    rights = wrongs = 0
    for at, role in enumerate(own.roles):
        success = role.success
        if success is None:
            continue
        place = ("punie", "roles", at, "success")
        if not 0 <= success.n <= min(told, metrics.agent_distribution.get(role.name, 0)):
            yield (*place, "n"), "more or fewer interactions than the counts of the file allow"
        elif not 0 <= success.value <= 1:
            yield (*place, "value"), f"{success.value:g} is no share: it should be 0 to 1"
        else:
            well = round(success.value * success.n)
            rights, wrongs = rights + well, wrongs + success.n - well
    if rights > right or wrongs > told - right:
        what = (
            f"{rights:,} successful and {wrongs:,} failed by role are more than "
            f"the {right:,} and {told - right:,} of the file"
        )
        yield ("punie", "roles"), what


def _problem(source: YamlSource, error: ErrorDetails) -> Problem:
    return source.problem(error["loc"], wording(error["type"], error["msg"], error["input"]))

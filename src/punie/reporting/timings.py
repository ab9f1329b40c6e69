"""The times of a run's answers, gathered while they go by, and drawn at the end."""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from punie.analysis.statistics import spread
from punie.records.result import Completion, EvalResult
from punie.records.summary import Spread
from punie.reporting import numbers, svg

_TRACE_POINTS = 120


class Chart(NamedTuple):
    """One measured quantity: its drawing as SVG, and its numbers for the table beside it."""

    name: str
    drawing: str
    trace: str
    spread: Spread
    write: Callable[[float], str]


def speed(answer: Completion) -> float | None:
    """Tokens a second of one answer, after its first token where that time is known."""
    if not answer.completion_tokens:
        return None
    tokens, seconds = answer.completion_tokens, answer.latency_s
    if answer.first_token_s is not None and tokens > 1:
        tokens, seconds = tokens - 1, seconds - answer.first_token_s
    return tokens / seconds if seconds > 0 else None


@dataclass
class Timings:
    """The times of all answers, eight bytes each."""

    started: list[str] = field(default_factory=list[str])
    latency: "array[float]" = field(default_factory=lambda: array("d"))
    first_token: "array[float]" = field(default_factory=lambda: array("d"))
    speed: "array[float]" = field(default_factory=lambda: array("d"))

    def add(self, result: EvalResult) -> None:
        """Note the times of one answer."""
        answer = result.completion
        self.started.append(result.started_at)
        self.latency.append(answer.latency_s)
        if answer.first_token_s is not None:
            self.first_token.append(answer.first_token_s)
        rate = speed(answer)
        if rate is not None:
            self.speed.append(rate)

    def charts(self) -> list[Chart]:
        """The distributions of what was measured."""
        trace = self._trace()
        line = ""
        if len(trace) > 2:
            line = svg.sparkline(trace, title="Latency over the run", width=360, height=34)
        drawn = [
            _chart("Latency", self.latency, numbers.duration, trace=line),
            _chart("Time to the first token", self.first_token, numbers.duration),
            _chart("Speed of one answer", self.speed, numbers.rate),
        ]
        return [chart for chart in drawn if chart]

    def _trace(self) -> list[float]:
        """Latencies in the order of their start, thinned to the median of each stretch."""
        order = sorted(range(len(self.latency)), key=lambda at: self.started[at])
        stretch = max(1, -(-len(order) // _TRACE_POINTS))
        return [
            median(self.latency[at] for at in order[begin : begin + stretch])
            for begin in range(0, len(order), stretch)
        ]


def _chart(
    name: str, values: Sequence[float], write: Callable[[float], str], *, trace: str = ""
) -> Chart | None:
    found = spread(values)
    if found is None:
        return None
    # Of a speed the slow end matters, and that is not what p95 marks.
    high = found.p95 if write is numbers.duration else None
    drawing = svg.histogram(values, title=name, write=write, high=high)
    return Chart(name, drawing, trace, found, write)

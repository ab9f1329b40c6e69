"""What a benchmark says, in the lines and cells that terminal and markdown share: pure."""

from collections.abc import Callable, Iterator, Sequence

from punie.analysis.served_by import PACKED, served_by
from punie.records.benchmark import (
    BenchmarkResult,
    CellEnd,
    Conditions,
    GridCell,
    Projection,
    Quartiles,
    ServingCell,
    TrainingBenchmark,
)
from punie.reporting import numbers
from punie.text import one_line

GRID_HEADS = ("Batch", "Tokens", "Layers", "s/iter", "tok/s", "Memory")
SERVING_HEADS = ("Prompt", "At once", "Reading", "Writing", "All", "First token")
SERVING_LEGEND = (
    "Reading: prompt tokens a second, of all requests at once. Writing: tokens a second of one "
    "answer. All: tokens a second that all answers together get, reading included."
)
DASH = numbers.NOTHING


def title(result: BenchmarkResult) -> str:
    """The model with its size and type: `smollm2-135m, 135M parameters, float32`."""
    model = result.model
    parts = [one_line(model.name)]
    if model.parameters:
        parts.append(f"{numbers.compact(model.parameters)} parameters")
    if model.dtype:
        parts.append(model.dtype)
    if model.backend != "mlx":
        parts.append(served_by(model))
    return ", ".join(parts)


def training_lines(measured: TrainingBenchmark) -> list[tuple[str, str]]:
    """Name and value of each fact about the measured shape."""
    spread = measured.spread
    reach = f"{numbers.duration(spread.least)}–{numbers.duration(spread.most)}"
    middle = f"{numbers.duration(spread.low)}–{numbers.duration(spread.high)}"
    timed = numbers.counted(measured.num_iters, "iteration")
    lines = [
        ("Shape", str(measured.shape)),
        ("Iteration", f"{numbers.duration(spread.median)} median of {timed}"),
        ("", f"middle half {middle}, all {reach}"),
        ("Speed", numbers.rate(measured.tokens_per_second)),
    ]
    if packed := PACKED.get(measured.quantization):
        again = ", activations computed again" * measured.gradient_checkpointing
        lines.insert(1, ("Trained", f"on a base packed as {packed}, {measured.optimizer}{again}"))
    if measured.peak_memory_bytes:
        lines.append(("Memory", f"{numbers.byte_size(measured.peak_memory_bytes)} peak"))
    apart = [
        f"{name} {numbers.duration(seconds)}"
        for name, seconds in (
            ("loading", measured.load_seconds),
            ("compiling", measured.compile_seconds),
            ("warm-up", sum(measured.warmup) if measured.warmup else None),
        )
        if seconds is not None
    ]
    if apart:
        lines.append(("Apart", ", ".join(apart)))
    return lines


def grid_row(cell: GridCell) -> list[str]:
    """The cells of one shape under `GRID_HEADS`."""
    shape, measured = cell.shape, cell.measured
    row = [str(shape.batch), str(shape.seq), str(shape.layers)]
    if measured is None:
        return [*row, _without_a_number(cell), DASH, DASH]
    return [
        *row,
        f"{measured.seconds_per_iter:.3g}",
        numbers.count(round(measured.tokens_per_second)),
        numbers.byte_size(measured.peak_memory_bytes),
    ]


def _without_a_number(cell: GridCell) -> str:
    if cell.seconds_at_least is not None and cell.end is CellEnd.TOO_SLOW:
        return f"> {cell.seconds_at_least:.3g}"
    return cell.end.value


def grid_notes(cells: Sequence[GridCell]) -> list[str]:
    """Why shapes have no number, each reason once."""
    return _reasons((str(cell.shape), cell.end, cell.why) for cell in cells if cell.why)


def serving_rows(cells: Sequence[ServingCell]) -> list[list[str]]:
    """The loads that were asked, under `SERVING_HEADS`; medians."""
    return [_serving_row(cell) for cell in cells if cell.requests]


def _serving_row(cell: ServingCell) -> list[str]:
    return [
        str(cell.prompt_tokens),
        str(cell.concurrency),
        *(_median(q, _plain) for q in (cell.prompt_rate, cell.generation_rate, cell.throughput)),
        _median(cell.first_token_s, numbers.duration),
    ]


def serving_spreads(cell: ServingCell) -> str:
    """How the measurements of one load spread: `first token 560–620 ms (n 3) · …`."""
    parts: list[str] = []
    for name, found, write in (
        ("reading", cell.prompt_rate, _plain),
        ("writing", cell.generation_rate, _plain),
        ("first token", cell.first_token_s, numbers.duration),
    ):
        if found:
            least, most = write(found.least), write(found.most)
            reach = least if least == most else f"{least}–{most}"
            parts.append(f"{name} {reach} (n {found.n})")
    where = f"{cell.prompt_tokens} tokens, {cell.concurrency} at once"
    return f"{where}: {' · '.join(parts)}" if parts else ""


def serving_notes(cells: Sequence[ServingCell]) -> list[str]:
    """Why loads have no number, or fewer answers than requests."""
    return _reasons(
        (f"{cell.prompt_tokens} tokens, {cell.concurrency} at once", cell.end, cell.why)
        for cell in cells
        if cell.why
    )


def projection_line(found: Projection) -> str:
    """The time of the user's own data, with its assumption."""
    epochs = f"{found.epochs:g} {'epoch' if found.epochs == 1 else 'epochs'}"
    return (
        f"{one_line(found.data)}: {numbers.counted(found.rows, 'row')} "
        f"({numbers.compact(found.tokens)} tokens, the longest {numbers.count(found.longest)}), "
        f"{epochs}, {numbers.counted(found.iterations, 'iteration')}: about "
        f"{numbers.duration(found.seconds)}, {found.assumption}."
    )


def condition_lines(found: Conditions, machine: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Name and value of what is known of the machine; the system's silence is said too."""
    charge = "" if found.battery_percent is None else f", battery at {found.battery_percent} %"
    saving = {True: ", saving mode on", False: "", None: ""}[found.low_power_mode]
    yield "Power", f"{found.power.value}{charge}{saving}"
    heat = found.heat.value
    if found.celsius is not None:
        heat += f", {found.celsius:.0f} °C"
    if found.throttled:
        heat += f", slowed down {numbers.counted(found.throttled, 'time')} for its heat meanwhile"
    yield "Heat", heat
    if found.free_memory_bytes is not None:
        yield "Free memory", f"{numbers.byte_size(found.free_memory_bytes)} before"
    load: list[str] = []
    if found.busy is not None:
        load.append(f"other programs took {numbers.percent(found.busy)} of {found.cores} cores")
    if found.load_average is not None:
        load.append(f"load average {found.load_average:.2g}")
    if load:
        yield "Load", ", ".join(load)
    if device := machine.get("device"):
        yield "Device", device
    if found.blas:
        threads = machine.get("blas_threads")
        yield "BLAS", found.blas + (f", {threads} threads" if threads else "")


def _reasons(cells: "Iterator[tuple[str, CellEnd, str]]") -> list[str]:
    by_reason: dict[tuple[CellEnd, str], list[str]] = {}
    for name, end, why in cells:
        by_reason.setdefault((end, why), []).append(name)
    return [
        f"{'; '.join(names)}: {end.value}, {one_line(why, 300)}"
        if end is not CellEnd.MEASURED
        else f"{'; '.join(names)}: {one_line(why, 300)}"
        for (end, why), names in by_reason.items()
    ]


def _plain(speed: float) -> str:
    """A speed without its unit, which stands in the heading or the legend."""
    return numbers.count(round(speed)) if speed >= 100 else f"{speed:.3g}"


def _median(found: Quartiles | None, write: Callable[[float], str]) -> str:
    return write(found.median) if found else DASH

"""Collected interactions as a contender: a metrics file in the place of a run."""

import json
from pathlib import Path

from punie.analysis.pairing import Arm, arm_of_rates
from punie.cli.comparing import Contender
from punie.datasets.baseline import read_baseline
from punie.errors import InputError
from punie.reading import MIB, read_regular
from punie.records.interactions import Baseline
from punie.records.run import ModelIdentity, Run, RunStatus
from punie.records.suite import Sampling
from punie.records.summary import Estimate
from punie.reporting.numbers import counted, duration

MARK = "total_interactions"
"""The key that tells a metrics file from a run.json."""
MOST = 10_000
"""Interactions that are compared one by one. Of more, as many of the same rate stand for all: their
interval of at most a point either way is narrow beside that of any run."""


def is_metrics(path: Path) -> bool:
    """Whether a file is a metrics file rather than a run.json."""
    try:
        data = json.loads(read_regular(path, MIB))
    except (OSError, ValueError, RecursionError, InputError):
        return False  # what is wrong with it is told by who reads it as a run.json
    return isinstance(data, dict) and MARK in data


def collected(path: Path) -> Contender:
    """A metrics file as a contender that can be compared unpaired. Raises InputError."""
    baseline = read_baseline(path)
    if baseline.success is None:
        raise InputError(
            f"{path}: it does not say how many interactions were successful",
            hint="add successful and failed, or success_rate",
        )
    run = Run(
        id=path.stem,
        created_at="",
        suite_name="collected interactions",
        suite_version="",
        suite_hash="",
        suite_source=path.name,
        model=ModelIdentity(name=path.stem, backend="endpoint"),
        sampling=Sampling(),
        concurrency=1,
        status=RunStatus.DONE,
    )
    arm = _arm(baseline, baseline.success)
    return Contender(
        run, lambda _: (), words=False, stored=False, asked=arm, notes=(_note(baseline),)
    )


def _arm(baseline: Baseline, success: Estimate) -> Arm:
    """Rights and wrongs in their number, by role where the file tells success by role."""
    by_role = baseline.role_success.items()
    parts = [(role, each.value, each.n) for role, each in by_role]
    if sum(n for _, _, n in parts) != success.n:  # some interactions have no role
        parts = [(None, success.value, success.n)]
    fit = min(1.0, MOST / success.n)
    return tuple(
        asked
        for role, value, n in parts
        if n
        for asked in arm_of_rates(round(value * n * fit), max(1, round(n * fit)), role=role)
    )


def _note(baseline: Baseline) -> str:
    times = f", {duration(baseline.mean_s)} on average" if baseline.mean_s is not None else ""
    told = baseline.success.n if baseline.success else 0
    cut = f"; {MOST:,} of the same rate stand for all {told:,}" if told > MOST else ""
    return (
        f"{baseline.source} is {counted(baseline.interactions, 'collected interaction')}{times}: "
        f"what its collector called a success is held against this run's score, as two samples{cut}"
    )

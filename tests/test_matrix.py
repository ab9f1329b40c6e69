"""Several runs, each with each."""
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportArgumentType=false
# pyright: reportUnknownArgumentType=false
# (statsmodels has no types)

from statsmodels.stats.multitest import multipletests

from punie.analysis.matrix import matrix_of
from punie.analysis.pairing import Asked
from punie.records.comparison import Side
from punie.records.run import ModelIdentity, Run
from punie.records.suite import Sampling


def a_run(name: str) -> Run:
    return Run(
        id=name,
        created_at="2026-11-21T10:00:00Z",
        suite_name="s",
        suite_version="1",
        suite_hash="h",
        suite_source="builtin",
        model=ModelIdentity(name=name, backend="mlx"),
        sampling=Sampling(),
        concurrency=1,
    )


def an_arm(right: str) -> tuple[Asked, ...]:
    sides = [Side(score=float(mark), passed=float(mark), answers=1) for mark in right]
    return tuple(Asked(id=f"p{at}", hash=f"h{at}", side=side) for at, side in enumerate(sides))


ARMS = ("0" * 20, "1" * 12 + "0" * 8, "1" * 14 + "0" * 6)


def test_each_pair_is_tested_and_holm_holds_them_together() -> None:
    runs = [(a_run(f"r{at}"), an_arm(arm)) for at, arm in enumerate(ARMS)]
    matrix = matrix_of(runs, ("a", "b", "c"), "paired")
    assert [(cell.row, cell.column) for cell in matrix.cells] == [
        ("r0", "r1"),
        ("r0", "r2"),
        ("r1", "r2"),
    ]
    # 12 gained of 12 that differ: 2/2^12; 14 of 14: 2/2^14; 2 of 2: 2/2^2.
    assert [cell.p for cell in matrix.cells] == [2 / 2**12, 2 / 2**14, 0.5]
    expected = multipletests([2 / 2**12, 2 / 2**14, 0.5], method="holm")[1]
    assert [cell.adjusted for cell in matrix.cells] == list(expected)
    values = [cell.difference.value for cell in matrix.cells if cell.difference]
    assert values == [0.6, 0.7, 0.1]


def test_samples_without_pairs_have_no_test() -> None:
    runs = [(a_run(f"r{at}"), an_arm(arm)) for at, arm in enumerate(ARMS)]
    matrix = matrix_of(runs, ("a", "b", "c"), "unpaired")
    assert all(cell.p is None and cell.adjusted is None for cell in matrix.cells)
    assert all(cell.difference is not None for cell in matrix.cells)


def test_runs_without_a_common_prompt_have_no_number() -> None:
    other = tuple(Asked(id=f"q{at}", hash=f"g{at}", side=Side(score=1.0)) for at in range(3))
    runs = [(a_run("r0"), an_arm(ARMS[0])), (a_run("r1"), other)]
    (cell,) = matrix_of(runs, ("a", "b"), "intersected").cells
    assert (cell.difference, cell.p, cell.adjusted) == (None, None, None)

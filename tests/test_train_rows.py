"""The order in which rows are trained, the batches they make, and the learning rate of each."""

# mlx is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.backends.workers.mlx_head import where_it_counts
from punie.backends.workers.train_failure import Failure
from punie.backends.workers.train_machine import LOOP_FORMAT, other_bits
from punie.backends.workers.train_rows import (
    Epochs,
    Rows,
    make_batch,
    read_tokens,
    validation_batches,
    wait_for_tokens,
)
from punie.backends.workers.train_schedule import learning_rate, updates
from punie.records.dataset import Split
from punie.records.encoding import width_for
from punie.records.training import Curve, Order, ResolvedPlan, Schedule
from train_rows_file import random_rows, write_rows

LENGTHS = st.lists(st.integers(2, 90), min_size=1, max_size=200)


@given(LENGTHS, st.integers(1, 9), st.sampled_from(Order), st.integers(0, 2**32 - 1))
def test_every_row_of_an_epoch_is_trained_once(
    lengths: list[int], size: int, order: Order, seed: int
) -> None:
    epochs = Epochs(lengths, size, order, seed)
    for number in (0, 3):
        batches = epochs.epoch(number)
        assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
        assert len(batches) == epochs.batches
        assert sum(len(batch) != size for batch in batches) == (len(lengths) % size > 0)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 300))
def test_what_comes_next_follows_from_the_iteration_alone(
    lengths: list[int], size: int, done: int
) -> None:
    epochs = Epochs(lengths, size, Order.SHUFFLE, 5)
    from_the_start = list(islice(epochs.after(0), done + 20))
    assert list(islice(epochs.after(done), 20)) == from_the_start[done:]


def test_epochs_differ_by_seed_and_number_and_the_file_order_does_not() -> None:
    lengths = [len(tokens) for tokens, _ in random_rows(50)]
    shuffled = [Epochs(lengths, 4, Order.SHUFFLE, seed).epoch(n) for seed in (0, 1) for n in (0, 1)]
    assert len({tuple(each) for each in shuffled}) == 4
    in_order = Epochs(lengths, 20, Order.FILE, 0)
    assert in_order.epoch(0) == in_order.epoch(1)
    assert in_order.epoch(0)[2] == tuple(range(40, 50))


def test_a_shuffled_epoch_pads_little_and_does_not_go_from_short_to_long() -> None:
    draw = np.random.default_rng(0)
    lengths = draw.integers(10, 1000, 2000).tolist()

    def padded(order: Order) -> float:
        batches = Epochs(lengths, 8, order, 0).epoch(0)
        return sum(len(b) * max(lengths[r] for r in b) for b in batches) / sum(lengths)

    assert padded(Order.SHUFFLE) < 1.2
    assert padded(Order.FILE) > 1.5
    means = [
        np.mean([lengths[row] for row in b]) for b in Epochs(lengths, 8, Order.SHUFFLE, 0).epoch(0)
    ]
    places = np.arange(len(means))
    assert abs(np.corrcoef(places, means)[0, 1]) < 0.2


def test_rows_of_one_kind_do_not_fill_batches_because_they_are_a_little_shorter() -> None:
    lengths = [220] * 64 + [250] * 256  # a fifth of short refusals
    batches = Epochs(lengths, 4, Order.SHUFFLE, 0).epoch(0)
    alone = [batch for batch in batches if all(row < 64 for row in batch)]
    assert len(alone) <= 2  # by chance one in 600 batches; sorted by length it would be 16 of 80


def test_the_order_of_a_seed_changes_only_with_the_format_of_the_loop() -> None:
    """A training that was interrupted may go on under another version of everything.

    Whoever changes what is pinned here makes LOOP_FORMAT greater: then a training that goes on
    says that it is not exact.
    """
    order = Epochs([5, 9, 5, 7, 2, 2, 8], 2, Order.SHUFFLE, 42).epoch(1)
    widths = tuple(width_for(longest, 100) for longest in (2, 33, 34, 90))
    counts = np.zeros((2, 96), np.bool_)
    positions = where_it_counts(counts, 2**20).shape
    assert (LOOP_FORMAT, order, widths, positions) == PINNED


PINNED = (1, [(1,), (0, 2), (6, 3), (5, 4)], (33, 33, 65, 97), (64,))


def test_another_loop_gives_other_bits() -> None:
    before = {"device": "cpu", "loop": "1"}
    assert other_bits(before, before) == ""
    assert other_bits(before, before | {"loop": "2"}) == "loop was 1 and is 2"
    assert other_bits({"device": "cpu"}, before) == "loop was unknown and is 1"


@given(LENGTHS, st.integers(1, 9), st.sampled_from(Order), st.integers(1, 60))
def test_no_batch_of_a_training_is_larger_than_the_probed_one(
    lengths: list[int], size: int, order: Order, iterations: int
) -> None:
    epochs = Epochs(lengths, size, order, 3)

    def area(rows: tuple[int, ...]) -> int:
        return len(rows) * width_for(max(lengths[row] for row in rows), 64)

    trained = list(islice(epochs.after(0), iterations))
    largest = epochs.largest(iterations, 64)
    assert largest in trained
    assert max(map(area, trained)) == area(largest)


@pytest.mark.parametrize(
    ("longest", "most", "width"),
    [(2, 2048, 33), (33, 2048, 33), (34, 2048, 65), (2047, 2048, 2048), (40, 40, 40), (90, 40, 40)],
)
def test_a_width_is_one_more_than_a_multiple_of_32(longest: int, most: int, width: int) -> None:
    assert width_for(longest, most) == width


def test_a_batch_holds_its_rows_cut_and_padded_and_counts_what_is_predicted(
    tmp_path: Path,
) -> None:
    rows = [([1, 2, 3], [0, 1, 1]), ([4, 5, 6, 7, 8, 9, 10, 11, 12], [1] * 8 + [0])]
    file = read_tokens(write_rows(tmp_path / "rows", train=rows, valid=[]))
    assert len(file.splits[Split.VALID]) == 0
    assert len(file.hash) == 64
    batch = make_batch(file.splits[Split.TRAIN], (1, 0), max_length=8)
    assert batch.rows == (1, 0)
    assert batch.tokens.tolist() == [[4, 5, 6, 7, 8, 9, 10, 11], [1, 2, 3, 0, 0, 0, 0, 0]]
    # The first token of a row is never predicted; the pad after a row is not trained.
    assert batch.counts.astype(int).tolist() == [[1] * 7, [1, 1, 0, 0, 0, 0, 0]]


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = random_rows(30)
    rows = read_tokens(write_rows(tmp_path / "rows", train=written)).splits[Split.TRAIN]
    read = [[part.tolist() for part in rows.row(n)] for n in range(len(rows))]
    assert read == [[list(part) for part in row] for row in written]


def test_validation_takes_the_same_rows_each_time() -> None:
    lengths = np.array([9, 3, 7, 5, 1])
    assert validation_batches(lengths, 2, None, 0) == [(4, 1), (3, 2), (0,)]
    few = [row for batch in validation_batches(lengths, 2, 3, 7) for row in batch]
    assert len(set(few)) == 3
    assert validation_batches(lengths, 2, 3, 7) == validation_batches(lengths, 2, 3, 7)
    drawn = {tuple(sorted(sum(validation_batches(lengths, 2, 3, seed), ()))) for seed in range(20)}
    assert len(drawn) > 3


def test_rows_of_one_token_make_a_batch_in_which_nothing_counts() -> None:
    rows = Rows(np.array([7], np.int32), np.array([1], np.uint8), np.array([0, 1], np.int64))
    assert not make_batch(rows, (0,), 64).counts.any()


def plan(schedule: Schedule, **fields: Any) -> ResolvedPlan:
    base: dict[str, Any] = {"layers": 1, "learning_rate": 0.1, "iterations": 40}
    base |= {"validate_every": 1, "checkpoint_every": 1}
    return ResolvedPlan(**base | fields, schedule=schedule)


@pytest.mark.parametrize(
    ("schedule", "name", "arguments"),
    [
        (Schedule(curve=Curve.LINEAR, end=0.02), "linear_schedule", (0.1, 0.02, 40)),
        (Schedule(curve=Curve.LINEAR, over=9), "linear_schedule", (0.1, 0.0, 9)),
        (Schedule(curve=Curve.COSINE, end=0.01), "cosine_decay", (0.1, 40, 0.01)),
        (Schedule(curve=Curve.EXPONENTIAL, decay=0.9), "exponential_decay", (0.1, 0.9)),
        (Schedule(curve=Curve.STEP, decay=0.5, every=7), "step_decay", (0.1, 0.5, 7)),
    ],
)
def test_the_curves_are_those_of_mlx(
    schedule: Schedule, name: str, arguments: tuple[float, ...]
) -> None:
    import mlx.core as mx
    from mlx.optimizers import schedulers

    theirs: Any = getattr(schedulers, name)(*arguments)
    for update in (0, 1, 6, 7, 20, 39):
        expected: Any = theirs(mx.array(update))
        value = expected if isinstance(expected, float) else expected.item()
        assert learning_rate(plan(schedule), update) == pytest.approx(value, rel=1e-5, abs=1e-9)


def test_a_warm_up_rises_to_the_rate_and_the_curve_begins_there() -> None:
    warm = plan(Schedule(curve=Curve.LINEAR, warmup=4, warmup_from=0.02))
    rates = [learning_rate(warm, update) for update in range(41)]
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert rates[5] == pytest.approx(0.1 * 35 / 36)
    assert rates[40] == pytest.approx(0.0)


def test_an_update_is_what_an_accumulation_makes() -> None:
    assert [updates(10, each) for each in (1, 3, 5, 20)] == [10, 4, 2, 1]
    halved = plan(Schedule(curve=Curve.LINEAR), accumulation=2)
    assert learning_rate(halved, 10) == pytest.approx(0.05)


@pytest.mark.parametrize("curve", [Curve.EXPONENTIAL, Curve.STEP])
def test_a_curve_without_its_numbers_is_refused(curve: Curve) -> None:
    with pytest.raises(ValueError, match="needs `decay`"):
        learning_rate(plan(Schedule(curve=curve)), 0)


def test_rows_whose_folder_is_removed_are_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="was removed"):
        wait_for_tokens(tmp_path / "gone" / "rows.safetensors", lambda: False)

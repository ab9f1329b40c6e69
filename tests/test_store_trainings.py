"""Trainings and benchmarks at rest, beside the runs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from punie.errors import InputError, StoreError
from punie.records.run import RunStatus
from punie.records.training_run import TrainingStatus
from punie.store.benchmarks import BenchmarkStore
from punie.store.runs import RunStore
from punie.store.trainings import TrainingStore
from synthetic_training import a_benchmark, a_training

GOLDEN = Path(__file__).with_name("golden")


def test_a_training_is_kept_from_its_first_iteration_to_its_end(tmp_path: Path) -> None:
    running = a_training(status=TrainingStatus.RUNNING, training=None, chosen=None)
    with TrainingStore(tmp_path) as store:
        store.add(running)
        assert store.find("last") == running
    with TrainingStore(tmp_path) as store:
        store.update(a_training())
        assert store.heads() == [a_training()]
        store.update(a_training(status=TrainingStatus.FAILED, failure="the loss is not finite"))
        assert store.find("last").failure == "the loss is not finite"
        store.delete([a_training().id])
        assert store.heads() == []


def test_trainings_are_found_as_runs_are(tmp_path: Path) -> None:
    with TrainingStore(tmp_path) as store:
        for day in (1, 2, 3):
            store.add(
                a_training(
                    f"2026010{day}-000000-abc{day}",
                    created_at=f"2026-01-0{day}T00:00:00+00:00",
                    name="odd" if day % 2 else "even",
                )
            )
        assert store.find("last").id == "20260103-000000-abc3"
        assert store.find("last~2").id == "20260101-000000-abc1"
        assert store.find("20260102").id == "20260102-000000-abc2"
        assert store.find("odd").id == "20260103-000000-abc3"
        assert [each.id[:8] for each in store.heads(name="odd")] == ["20260103", "20260101"]
        assert len(store.heads(limit=2)) == 2
        with pytest.raises(InputError, match="2026 fits several trainings"):
            store.find("2026")
        with pytest.raises(InputError, match="nothing is no training here") as caught:
            store.find("nothing")
        assert caught.value.hint.startswith("the newest: 20260103-000000-abc3, ")


def test_a_benchmark_is_kept_and_found_by_its_model(tmp_path: Path) -> None:
    with BenchmarkStore(tmp_path) as store:
        with pytest.raises(InputError, match="no benchmark here") as caught:
            store.find("last")
        assert caught.value.hint == "there is none yet: punie benchmark"
        store.add(a_benchmark(status=RunStatus.RUNNING))
        store.update(a_benchmark())
        assert store.find("smollm2-135m") == a_benchmark()


def test_runs_know_nothing_of_trainings(tmp_path: Path) -> None:
    with TrainingStore(tmp_path) as store:
        store.add(a_training())
    with RunStore(tmp_path) as runs:
        assert runs.heads() == []
        with pytest.raises(InputError, match="is no run here"):
            runs.find(a_training().id)


def test_the_same_id_is_not_kept_twice(tmp_path: Path) -> None:
    with TrainingStore(tmp_path) as store:
        store.add(a_training())
        with pytest.raises(StoreError, match="UNIQUE"):
            store.add(a_training(name="another"))
        assert store.find("last").name == a_training().name


def test_a_record_that_does_not_read_is_named(tmp_path: Path) -> None:
    with TrainingStore(tmp_path) as store:
        store.add(a_training())
    with closing(sqlite3.connect(tmp_path / ".punie" / "punie.db")) as db:
        db.execute("UPDATE trainings SET head = '{}'")
        db.commit()
    with TrainingStore(tmp_path) as store, pytest.raises(StoreError, match="cannot be read"):
        store.heads()


def test_the_first_schema_gets_trainings_and_keeps_its_runs(tmp_path: Path) -> None:
    (tmp_path / ".punie").mkdir()
    with closing(sqlite3.connect(tmp_path / ".punie" / "punie.db")) as db:
        db.executescript((GOLDEN / "store-v1.sql").read_text(encoding="utf-8"))
    with TrainingStore(tmp_path) as store:
        store.add(a_training())
    with RunStore(tmp_path) as runs:
        assert len(runs.heads()) == 1
    assert (tmp_path / ".punie" / "punie.v1.bak").is_file()


def test_the_second_schema_can_still_be_read(tmp_path: Path) -> None:
    (tmp_path / ".punie").mkdir()
    with closing(sqlite3.connect(tmp_path / ".punie" / "punie.db")) as db:
        db.executescript((GOLDEN / "store-v2.sql").read_text(encoding="utf-8"))
    with TrainingStore(tmp_path) as store:
        assert store.find("tiny-weather").id == "20261121-085000-abcd"
    with BenchmarkStore(tmp_path) as store:
        assert store.find("smollm2-135m").id == "20261121-100000-wxyz"

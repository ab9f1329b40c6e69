"""The work folder of a training."""

from pathlib import Path

import pytest

from punie.errors import InputError, TrainingError
from punie.records.training import TRAIN_EVENT, Ended, Ending, Started, TrainEvent
from punie.training.publish import checkpoint
from punie.training.work import WorkFolder


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a" * 65, "ö", "a b", "-x"])
def test_names_that_cannot_be_a_folder_of_ours_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be an adapter's name"):
        WorkFolder(tmp_path, name)


def test_one_punie_at_a_time_trains_under_a_name(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path, "mine")
    with work.hold():
        with pytest.raises(InputError, match="another punie is training mine"), work.hold():
            pass
        with WorkFolder(tmp_path, "other").hold():
            pass
    with work.hold():
        pass


def test_an_adapter_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "adapters" / "mine").mkdir(parents=True)
    with pytest.raises(InputError, match="there is an adapter called mine"):
        WorkFolder(tmp_path, "mine").make()
    (tmp_path / "adapters" / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="there is an adapter called dangling"):
        WorkFolder(tmp_path, "dangling").make()


def test_what_somebody_laid_into_the_place_of_a_training_is_not_written_into(
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    work = WorkFolder(tmp_path, "mine")
    work.path.mkdir(parents=True)
    (work.path / "job.json").symlink_to(victim)
    (work.path / "train.rows.jsonl").symlink_to(victim)
    with work.hold():
        work.make()
    assert not list(work.path.iterdir())
    assert victim.read_text() == "precious"
    work.discard()
    work.path.symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(InputError, match="is a link"), work.hold():
        pass


def test_a_training_with_links_in_it_is_not_gone_on_with(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path, "mine")
    (work.path / "checkpoints").mkdir(parents=True)
    work.refuse_links()
    (work.path / "checkpoints" / "0000001.safetensors").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="is a link"):
        work.refuse_links()
    with pytest.raises(TrainingError, match="is not there"):
        checkpoint(work, 1)


def line(event: TrainEvent) -> bytes:
    return TRAIN_EVENT.dump_json(event) + b"\n"


def test_a_line_that_was_torn_by_a_kill_is_left_out(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path, "mine")
    begun = Started(step=0, exact=True, machine={})
    ended = Ended(step=3, ending=Ending.DONE, seconds=1.0, peak_memory_bytes=5)
    with work.hold():
        work.make()
        work.events.write_bytes(line(begun) + line(ended) + line(ended)[:20])
        assert work.read_events() == [begun, ended]


def test_what_was_never_begun_cannot_be_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no training called mine"):
        WorkFolder(tmp_path, "mine").read_begun()


def test_a_damaged_head_says_what_to_do(tmp_path: Path) -> None:
    work = WorkFolder(tmp_path, "mine")
    with work.hold():
        work.make()
        (work.path / "begun.json").write_text("{", encoding="utf-8")
        with pytest.raises(InputError, match="is damaged"):
            work.read_begun()
        with pytest.raises(InputError, match="begun and not finished"):
            work.make()

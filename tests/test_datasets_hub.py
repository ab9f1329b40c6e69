"""Datasets of the hub, from its cache: the network is off."""

import json
from pathlib import Path

import pytest

from punie.datasets.hub import files_by_split
from punie.datasets.reading import read_dataset
from punie.errors import InputError
from punie.records.dataset import Split

pytest.importorskip("huggingface_hub")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def cached(cache: Path, name: str, *files: str) -> None:
    repo = cache / f"datasets--{name.replace('/', '--')}"
    revision = "a" * 40
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/main").write_text(revision)
    for file in files:
        path = repo / "snapshots" / revision / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"prompt": file, "completion": "x"}) + "\n")


def test_a_dataset_is_read_from_the_cache_with_its_revision(cache: Path, tmp_path: Path):
    cached(cache, "org/tasks", "data/train.jsonl", "data/validation.jsonl")
    dataset = read_dataset("org/tasks", tmp_path)
    assert set(dataset.rows) == {Split.TRAIN, Split.VALID}
    assert (dataset.name, dataset.version.origin) == ("org/tasks", f"hub:org/tasks@{'a' * 40}")
    assert dataset.rows[Split.VALID][0].messages[0].content == "data/validation.jsonl"


def test_one_file_alone_is_all_train(cache: Path, tmp_path: Path):
    cached(cache, "org/one", "everything.jsonl")
    assert set(read_dataset("org/one", tmp_path).rows) == {Split.TRAIN}


def test_what_has_no_json_lines_is_refused_with_a_way_out(cache: Path, tmp_path: Path):
    cached(cache, "org/tables", "README.md")
    with pytest.raises(InputError, match="no JSON lines") as caught:
        read_dataset("org/tables", tmp_path)
    assert "to_json" in caught.value.hint


@pytest.mark.usefixtures("cache")
def test_without_a_network_it_says_so(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be reached") as caught:
        read_dataset("org/elsewhere", tmp_path)
    assert "HF_HUB_OFFLINE" in caught.value.hint


def test_splits_are_told_by_their_files_names():
    names = ["a/train-1.jsonl", "a/dev.jsonl", "a/TEST_set.jsonl", "a/restrained.jsonl"]
    found = files_by_split([Path(name) for name in names])
    assert {split.value: path.name for split, path in found.items()} == {
        "train": "train-1.jsonl",
        "valid": "dev.jsonl",
        "test": "TEST_set.jsonl",
    }
    assert files_by_split([Path("train-1.jsonl"), Path("train-2.jsonl")]) == {}

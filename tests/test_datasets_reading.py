import json
from pathlib import Path

import pytest

from punie.datasets.reading import read_dataset
from punie.errors import DataError
from punie.records.dataset import RowForm, Split

CHAT = {
    "messages": [
        {"role": "user", "content": "Where is hall 3?"},
        {"role": "assistant", "content": "In the north."},
    ]
}


def write(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_three_forms_become_rows_with_their_places(tmp_path: Path):
    write(tmp_path / "d/train.jsonl", {**CHAT, "category": "places", "group": 7})
    write(tmp_path / "d/valid.jsonl", {"prompt": "2 + 2?", "completion": "4"})
    write(tmp_path / "d/test.jsonl", {"text": "Once upon a time"})
    dataset = read_dataset(tmp_path / "d", tmp_path)
    chat, completion, text = (dataset.rows[split][0] for split in Split)
    assert (dataset.name, dataset.folder) == ("d", tmp_path / "d")
    assert (chat.form, chat.category, chat.group) == (RowForm.MESSAGES, "places", "7")
    assert [turn.role for turn in completion.messages] == ["user", "assistant"]
    assert (text.text, text.messages) == ("Once upon a time", ())
    assert (chat.file, chat.line) == (str(tmp_path / "d/train.jsonl"), 1)


def test_a_mistake_far_into_a_file_is_found(tmp_path: Path):
    path = write(tmp_path / "many.jsonl", *[CHAT] * 5000)
    path.write_text(path.read_text() + '{"messages": [{"role": "usr", "content": "a"}]}\n')
    with pytest.raises(DataError) as caught:
        read_dataset(path, tmp_path)
    problem = caught.value.problems[0]
    assert (problem.line, problem.column, problem.path) == (5001, 24, "messages[0].role")
    assert "did you mean user?" in problem.what

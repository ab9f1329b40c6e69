"""mlx_lm reads what punie writes, as it was meant."""

# mlx_lm carries no types.
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false

import json
from pathlib import Path
from typing import Any

import pytest

from punie.datasets.reading import read_dataset
from punie.datasets.writing import split_into_project

FORMS: dict[str, dict[str, Any]] = {
    "CompletionsDataset": {"prompt": "What is {i} + 1?", "completion": "One more than {i}."},
    "TextDataset": {"text": "Once upon a time there were {i}."},
    "ChatDataset": {
        "messages": [
            {"role": "user", "content": "Find box {i}."},
            {
                "role": "assistant",
                "tool_calls": [{"function": {"name": "find", "arguments": {"box": "{i}"}}}],
            },
        ],
        "tools": [{"name": "find", "parameters": {"properties": {"box": {"type": "string"}}}}],
    },
}


@pytest.mark.parametrize("kind", FORMS)
def test_mlx_lm_reads_each_form(tmp_path: Path, kind: str):
    datasets = pytest.importorskip("mlx_lm.tuner.datasets")
    from types import SimpleNamespace

    row = json.dumps(FORMS[kind])
    lines = (row.replace("{i}", str(i)) + "\n" for i in range(20))
    (tmp_path / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    source = read_dataset(tmp_path / "rows.jsonl", tmp_path)
    folder = split_into_project(source, tmp_path, name="rows", seed=0).folder
    parts = datasets.load_local_dataset(folder, None, SimpleNamespace())
    assert [type(part).__name__ for part in parts] == [kind] * 3
    assert [len(part) for part in parts] == [16, 2, 2]
    if kind == "ChatDataset":
        first = parts[0][0]
        call = first["messages"][1]["tool_calls"][0]["function"]
        assert json.loads(call["arguments"]) == {"box": "0"}
        assert first["messages"][1]["content"] == ""
        assert first["tools"][0]["function"]["name"] == "find"

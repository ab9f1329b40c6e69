"""A few rows, encoded by the real worker, and the server's own call as the oracle."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx_lm and safetensors carry no or partial types.

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_lm.server import process_message_content
from mlx_lm.tuner.datasets import TextDataset
from mlx_lm.utils import load_tokenizer
from safetensors import safe_open

from punie.backends.encoding import encode, encoding_file
from punie.records.dataset import ROW, Row, Split
from punie.records.encoding import EncodeJob, Encoding, RowProblemKind
from punie.records.suite import FunctionCall, HistoryCall, Message, Tool
from punie.records.training import Masking

ADD = Tool(
    name="add",
    description="Add two numbers.",
    parameters={"type": "object", "properties": {"a": {"type": "integer"}}},
)


def say(role: Any, content: str | None, *calls: HistoryCall) -> Message:
    return Message(role=role, content=content, tool_calls=calls)


def call(name: str, arguments: str) -> HistoryCall:
    return HistoryCall(id="1", function=FunctionCall(name=name, arguments=arguments))


def chat(*messages: Message, tools: tuple[Tool, ...] = ()) -> Row:
    return Row(messages=messages, tools=tools, file="train.jsonl", line=1)


SHORT = chat(say("user", "What is the capital?"), say("assistant", "Paris"))
LONG = chat(
    say("system", "You are a helpful assistant."),
    say("user", "What is the sum of 4 and 7?"),
    say("assistant", None, call("add", '{"a": 4, "b": 7}')),
    say("tool", "11"),
    say("assistant", "It is eleven."),
    say("user", "And the capital?"),
    say("assistant", "Paris"),
    tools=(ADD,),
)


@dataclass
class Encoded:
    """What came of a few rows, with the texts of what is trained."""

    encoding: Encoding
    tokenizer: Any
    tensors: dict[str, Any]

    def ids(self, row: int, split: str = "train") -> list[int]:
        starts = self.tensors[f"{split}.starts"]
        return self.tensors[f"{split}.tokens"][starts[row] : starts[row + 1]].tolist()

    def mask(self, row: int, split: str = "train") -> list[int]:
        starts = self.tensors[f"{split}.starts"]
        return self.tensors[f"{split}.mask"][starts[row] : starts[row + 1]].tolist()

    def trained(self, row: int) -> list[str]:
        """The texts of the runs of trained tokens."""
        texts: list[str] = []
        run: list[int] = []
        for token, on in zip([*self.ids(row), 0], [*self.mask(row), 0], strict=True):
            if on:
                run.append(token)
            elif run:
                texts.append(self.tokenizer.decode(run))
                run = []
        return texts

    def kinds(self, row: int = 0) -> set[RowProblemKind]:
        return {each.kind for each in self.encoding.problems if each.row == row}

    def details(self, kind: RowProblemKind) -> list[str]:
        return [each.detail for each in self.encoding.problems if each.kind is kind]


async def encoded(
    model: Path,
    folder: Path,
    *rows: Row,
    masking: Masking = Masking.ASSISTANT,
    max_length: int = 2048,
) -> Encoded:
    job = job_of(folder, model, rows, masking=masking, max_length=max_length)
    encoding = await encode(job)
    assert Encoding.model_validate_json(encoding_file(job).read_bytes()) == encoding
    with safe_open(job.output, "np") as file:
        assert file.metadata()["hash"] == encoding.hash
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    return Encoded(encoding, load_tokenizer(model), tensors)


def job_of(
    folder: Path,
    model: Path,
    rows: Sequence[Row],
    *,
    masking: Masking = Masking.ASSISTANT,
    max_length: int = 2048,
) -> EncodeJob:
    path = folder / "rows.jsonl"
    path.write_bytes(b"".join(ROW.dump_json(row) + b"\n" for row in rows))
    return EncodeJob(
        model=model,
        rows={Split.TRAIN: path},
        max_length=max_length,
        masking=masking,
        output=folder / "rows.safetensors",
    )


def served(tokenizer: Any, row: Row, turns: int) -> list[int]:
    """What mlx_lm.server makes of the first turns of a row, by its own functions."""
    body = json.loads(ROW.dump_json(row, exclude_defaults=True))
    messages: list[Any] = body["messages"][:turns]
    for message in messages:
        message.setdefault("content", None)
    process_message_content(messages)
    tools = [{"type": "function", "function": tool} for tool in body.get("tools", [])]
    return tokenizer.apply_chat_template(
        messages, tools=tools or None, tokenize=True, add_generation_prompt=True
    )


def mlx_lm_text(tokenizer: Any, text: str) -> list[int]:
    """What mlx_lm trains of a plain text."""
    ids, _ = TextDataset([], tokenizer).process({"text": text})
    return ids

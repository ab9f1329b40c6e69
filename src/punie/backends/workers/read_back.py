"""Tool calls of a rendered answer, read back as mlx_lm's server reads a model's."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx_lm carries no types.

import json
from collections.abc import Sequence
from typing import Any

from punie.records.suite import HistoryCall


class CallReader:
    """Reads calls with the parser that the server chooses for a tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.name: str | None = None
        """Of the parser; None where the server has none for this model."""
        if not tokenizer.tool_parser:
            return
        from mlx_lm.generate import (  # noqa: PLC0415 - slow to import
            TextStateMachine,
            make_text_state_machine,
        )

        self._tokenizer = tokenizer
        self._machine: Any = make_text_state_machine(tokenizer)
        self._split: Any = TextStateMachine.split
        self.name = str(tokenizer.init_kwargs.get("tool_parser_type"))

    def lost(
        self,
        calls: Sequence[HistoryCall],
        answer: str,
        prompt: str,
        tools: list[dict[str, Any]] | None,
    ) -> str:
        """What does not come back of the calls that stand in `answer`; "" where all of it does."""
        try:
            read = [_canonical(call) for call in self._read(answer, prompt, tools)]
        except Exception as error:  # noqa: BLE001 - a parser may fail in any way
            return f"the {self.name} parser fails: {' '.join(str(error).split())[:120]}"
        written = [
            _canonical({"name": each.function.name, "arguments": _arguments(each)})
            for each in calls
        ]
        if read == written:
            return ""
        if len(read) != len(written):
            return f"{len(written)} written, {len(read)} read back by the {self.name} parser"
        wrote, came = next(pair for pair in zip(written, read, strict=True) if pair[0] != pair[1])
        return f"{wrote[:120]} comes back from the {self.name} parser as {came[:120]}"

    def _read(
        self, answer: str, prompt: str, tools: list[dict[str, Any]] | None
    ) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        for text in self._call_texts(answer, prompt):
            parsed: Any = self._tokenizer.tool_parser(text, tools)
            calls.extend(parsed if isinstance(parsed, list) else [parsed])
        return calls

    def _call_texts(self, answer: str, prompt: str) -> list[str]:
        """What stands between the markers of each call, as the server's handler gathers it."""
        state = self._machine.make_state(self._initial(prompt))
        _, segments = self._split(state, answer)
        texts: list[str] = []
        gathered, before = "", ""
        for now, text in segments:
            if now == "tool":
                gathered += text
            elif now == "normal" and before == "tool":
                texts.append(gathered)
                gathered = ""
            before = now
        if before == "tool" and gathered:
            texts.append(gathered)
        return texts

    def _initial(self, prompt: str) -> str:
        """Whether the prompt leaves a reasoning block open."""
        initial: str | None = self._tokenizer.response_initial_state
        if initial:
            return initial
        if not self._tokenizer.has_thinking:
            return "normal"
        opened = prompt.rfind(self._tokenizer.think_start)
        return "reasoning" if opened > prompt.rfind(self._tokenizer.think_end) else "normal"


def _arguments(call: HistoryCall) -> Any:
    return json.loads(call.function.arguments) if call.function.arguments else {}


def _canonical(call: dict[str, Any]) -> str:
    """One spelling of a call, which tells 1 from true and from "1"."""
    shape = {"name": call.get("name"), "arguments": call.get("arguments")}
    return json.dumps(shape, sort_keys=True, ensure_ascii=False)

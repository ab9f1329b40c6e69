"""Good files, spoiled at random: never anything but success or an error of ours with a place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from malformed import GOOD_ADAPTER, GOOD_CONFIG, GOOD_MODEL, QUERY, raw_header, tensors
from punie.errors import InputError, ModelError, SuiteError
from punie.models.adapter import check_adapter
from punie.models.check import check_model_folder
from punie.models.safetensors import read_header
from punie.models.template import read_template, tool_parser
from punie.scoring.json_text import is_array, is_object
from punie.settings import load_settings
from punie.suites.load import load_suite
from test_suite_problems import HEAD

PROMPT = """\
  - id: one
    category: tool_calling
    role: coder
    tags: [easy, "2"]
    prompt: Add 1 and 2.
    tools: [add]
    weight: 2
    expect:
      tool_calls: [{name: add, arguments: {a: 1, b: {any_of: [2, 3], optional: true}}}]
      keywords: {all: ['\\d+'], none: [sorry], match: regex}
  - id: two
    messages:
      - {role: system, content: Be short.}
      - {role: user, content: Paris?}
    expect:
      json: {schema: {type: object, properties: {a: {type: integer}}}, gold: {a: 1}}
      number: {value: 4, tolerance: 0.5}
      exact: [a, b]
      python: [f]
"""
YAML = HEAD + PROMPT
ROWS = (
    '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls":'
    ' [{"id": "c", "function": {"name": "f", "arguments": "{\\"a\\": 1}"}}]}],'
    ' "tools": [{"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}]}\n'
    '{"prompt": "2 + 2?", "completion": "4"}\n'
    '{"id": "q", "prompt": "x", "expect": {"number": 4}}\n'
)
TOML = """\
model = "smollm2-135m"
concurrency = 4
[sampling]
temperature = 0.5
[journal]
text = true
[endpoints.lab]
url = "http://lab/v1"
price_input = 0.1
"""
SCRAPS = (
    *("\0", "\t", "\r", "\n", "  ", "{", "}", "[", "]", '"', "'", ":", ",", "-", "#", "&a ", "*a"),
    *("!!int ", "%", "|", ">", "?", "null", "true", "1e999", "NaN", "-1", "9" * 30, "é", "\ufeff"),
    *("\ud800", "😀", "---\n", "...", "<<: ", "= ", "\\ud800", "[" * 80, "$ref", '"#"'),
)


@st.composite
def spoiled(draw: st.DrawFn, good: str) -> bytes:
    """A good text after up to four accidents: bytes flipped, cut, doubled, put in, moved."""
    raw = bytearray(good.encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        end = min(len(raw), at + draw(st.integers(1, 40)))
        match draw(st.sampled_from(["flip", "cut", "double", "scrap", "line", "end", "move"])):
            case "flip" if raw:
                raw[at] ^= draw(st.integers(1, 255))
            case "cut":
                del raw[at:end]
            case "double":
                raw[at:at] = raw[at:end]
            case "scrap":
                raw[at:at] = draw(st.sampled_from(SCRAPS)).encode("utf-8", "surrogatepass")
            case "line":
                lines = bytes(raw).split(b"\n")
                line = draw(st.sampled_from(lines))
                raw[at:at] = b"\n" + line + b"\n"
            case "end":
                del raw[at:]
            case _:
                part = bytes(raw[at:end])
                del raw[at:end]
                to = draw(st.integers(0, len(raw)))
                raw[to:to] = part
    return bytes(raw)


VALUES = (
    *("null", "true", "0", "-1", "1.5", "1180591620717411303424", "NaN", "Infinity", '""', '"x"'),
    *('"../../x"', '"\\u0000"', "[]", "{}", "[[]]", '{"a": {}}', '["x"]', "[1]", '{"type": 1}'),
)
"""As JSON, so that each use has its own."""


@st.composite
def swapped(draw: st.DrawFn, good: Any) -> Any:
    """Good data in which up to three values became another, went, or got a strange neighbour."""
    data: Any = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 3))):
        here: Any = data
        while True:
            keys: list[Any] = list(here) if is_object(here) else list(range(len(here)))
            if not keys:
                break
            key: Any = draw(st.sampled_from(keys))
            inner: Any = here[key]
            if (is_object(inner) or is_array(inner)) and inner and draw(st.booleans()):
                here = inner
                continue
            match draw(st.sampled_from(["value", "value", "gone", "more"])):
                case "value":
                    here[key] = json.loads(draw(st.sampled_from(VALUES)))
                case "gone":
                    del here[key]
                case _ if is_object(here):
                    new = draw(st.sampled_from(["zzz", "$ref", "__metadata__", "a"]))
                    here[new] = json.loads(draw(st.sampled_from(VALUES)))
                case _:
                    assert is_array(here)
                    here.append(json.loads(draw(st.sampled_from(VALUES))))
            break
    return data


MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def load(file: Path) -> None:
    """A suite with prompts, or problems with places: any other exception fails the test."""
    try:
        found = load_suite(file)
    except SuiteError as error:
        found = error
    if not isinstance(found, SuiteError):
        assert found.prompts
        return
    assert found.problems
    assert found.hint
    for problem in found.problems:
        assert problem.file.startswith(str(file))
        assert problem.line > 0 or "rows" in problem.what, problem
        assert problem.what


@MANY
@given(raw=spoiled(YAML))
def test_a_spoiled_suite(raw: bytes, tmp_path: Path):
    file = tmp_path / "s.yaml"
    file.write_bytes(raw)
    load(file)


@MANY
@given(raw=spoiled(ROWS))
def test_spoiled_rows(raw: bytes, tmp_path: Path):
    file = tmp_path / "s.jsonl"
    file.write_bytes(raw)
    load(file)


def as_data(text: str) -> Any:
    from punie.sources.yaml_source import YamlSource

    return YamlSource("s.yaml", text).data


@MANY
@given(data=swapped(as_data(YAML)))
def test_a_suite_with_swapped_values(data: Any, tmp_path: Path):
    file = tmp_path / "s.yaml"
    file.write_text(json.dumps(data))
    load(file)


@MANY
@given(raw=spoiled(TOML), name=st.sampled_from(["punie.toml", "pyproject.toml"]))
def test_spoiled_settings(raw: bytes, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    (tmp_path / ".punie").mkdir(exist_ok=True)
    for other in ("punie.toml", "pyproject.toml"):
        (tmp_path / other).unlink(missing_ok=True)
    (tmp_path / name).write_bytes(b"[tool.punie]\n" + raw if name.startswith("py") else raw)
    refused = None
    try:
        load_settings(tmp_path, {})
    except InputError as error:
        refused = error
    assert refused is None or (name in refused.message and refused.hint)


def is_refused(check: Callable[[], object]) -> None:
    """Fine, or a ModelError with words: any other exception fails the test."""
    refused = None
    try:
        check()
    except ModelError as error:
        refused = error
    assert refused is None or (refused.message and refused.hint)


@MANY
@given(data=swapped({**GOOD_CONFIG, "fine_tune_type": "lora"}))
def test_adapter_settings_with_swapped_values(data: Any, tmp_path: Path):
    model, adapter = good_folders(tmp_path)
    (adapter / "adapter_config.json").write_text(json.dumps(data))
    is_refused(lambda: check_adapter(adapter, model))


HEADER = {
    "__metadata__": {"format": "mlx"},
    f"{QUERY}.lora_a": {"dtype": "F32", "shape": [8, 2], "data_offsets": [0, 64]},
    f"{QUERY}.lora_b": {"dtype": "F32", "shape": [2, 8], "data_offsets": [64, 128]},
}


@MANY
@given(header=swapped(HEADER))
def test_headers_with_swapped_values(header: Any, tmp_path: Path):
    model, adapter = good_folders(tmp_path)
    (adapter / "adapters.safetensors").write_bytes(raw_header(header) + bytes(128))
    is_refused(lambda: check_adapter(adapter, model))


@MANY
@given(data=st.data())
def test_spoiled_weights(data: st.DataObject, tmp_path: Path):
    raw = bytearray(GOOD_MODEL["model.safetensors"])
    for at in data.draw(st.lists(st.integers(0, 120), min_size=1, max_size=5)):
        raw[at] = data.draw(st.integers(0, 255))
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    is_refused(lambda: read_header(file))


@MANY
@given(
    file=st.sampled_from(["config.json", "tokenizer.json", "tokenizer_config.json", "index"]),
    data=st.data(),
)
def test_a_model_folder_with_swapped_values(file: str, data: st.DataObject, tmp_path: Path):
    model, _ = good_folders(tmp_path)
    name = "model.safetensors.index.json" if file == "index" else file
    good = {"weight_map": {"a": "model.safetensors"}} if file == "index" else {}
    known = {
        "config.json": {"model_type": "llama", "text_config": {"num_hidden_layers": 2}},
        "tokenizer.json": {"added_tokens": [{"content": "x"}], "model": {"vocab": {"a": 1}}},
        "tokenizer_config.json": {"chat_template": [{"name": "default", "template": "x"}]},
    }.get(file, good)
    (model / name).write_text(json.dumps(data.draw(swapped(known))))
    is_refused(lambda: check_model_folder(model))


@MANY
@given(raw=st.binary(max_size=200), file=st.sampled_from([*GOOD_MODEL]))
def test_any_bytes_for_a_models_file(raw: bytes, file: str, tmp_path: Path):
    model, _ = good_folders(tmp_path)
    (model / file).write_bytes(raw)
    is_refused(lambda: check_model_folder(model))


def good_folders(at: Path) -> tuple[Path, Path]:
    """A model and an adapter for it, both fine."""
    model, adapter = at / "model", at / "adapter"
    for folder in (model, adapter):
        folder.mkdir(exist_ok=True)
    for name, raw in GOOD_MODEL.items():
        (model / name).write_bytes(raw)
    (model / "model.safetensors.index.json").unlink(missing_ok=True)
    (adapter / "adapter_config.json").write_text(json.dumps(GOOD_CONFIG))
    (adapter / "adapters.safetensors").write_bytes(tensors(GOOD_ADAPTER))
    return model, adapter


def test_the_good_ones_are_good(tmp_path: Path):
    (tmp_path / "s.yaml").write_text(YAML)
    (tmp_path / "s.jsonl").write_text(ROWS)
    assert len(load_suite(tmp_path / "s.yaml").prompts) == 2
    assert len(load_suite(tmp_path / "s.jsonl").prompts) == 3
    (tmp_path / "punie.toml").write_text(TOML)
    assert load_settings(tmp_path, {}).values.concurrency == 4
    model, adapter = good_folders(tmp_path)
    check_model_folder(model)
    check_adapter(adapter, model)
    template = read_template(model)
    assert tool_parser({}, template, []) is None

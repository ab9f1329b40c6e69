"""Everything malformed that punie is tried on: suites, rows, settings, models, adapters, entries.

Each case is run through the command line, once for people and once with `--json`. A bench prints
`tried_and_passed()`; the tests have one test a case.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import journal_run
from punie.cli.main import main
from punie.records.suite import EvalSuite
from punie.store.runs import RunStore
from test_datasets_problems import BYTES as DATA_BYTES
from test_datasets_problems import ROWS as DATA_ROWS
from test_suite_problems import BYTES, HEAD, HEADERS, PROMPTS, ROWS, SYNTAX

Content = str | bytes | Callable[[Path], object]
"""A file's text or bytes, or what puts something else in its place."""


@dataclass(frozen=True)
class Case:
    """What is tried: files, a command, and what must be said of it."""

    group: str
    name: str
    argv: tuple[str, ...]
    code: int
    place: str
    """Where the message must point: file:line:column, or file and key."""
    words: str = ""
    files: Mapping[str, Content] = field(default_factory=dict[str, Content])
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    edit: tuple[str, str, str] | None = None
    """Of a good journal entry: the file, the text in it, and what it becomes."""

    def __str__(self) -> str:
        return f"{self.group}: {self.name}"


# ---- what stands in the place of a file


def fifo(path: Path) -> None:
    os.mkfifo(path)


def giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10 * 2**30)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def folder(path: Path) -> None:
    path.mkdir()


# ---- suites and rows


def _suites() -> Iterator[Case]:
    show = ("suites", "show", "./s.yaml")
    for name, (text, line, column, path, what) in SYNTAX.items():
        place = f"s.yaml:{line}:{column}" + (f" {path}:" if path else ":")
        yield Case("suite syntax", name, show, 2, place, what, {"s.yaml": text})
    for name, (text, line, column, path, what) in HEADERS.items():
        whole = text
        if not name.startswith(("no ", "empty", "prompts ")):
            rest = "" if text.startswith("name") else "\nname: demo"
            whole = text.rstrip("\n") + rest + "\nprompts: [{id: a, prompt: p}]\n"
        yield Case(
            "suite header",
            name,
            show,
            2,
            f"s.yaml:{line}:{column} {path}:",
            what,
            {"s.yaml": whole},
        )
    for name, (text, line, column, path, what) in PROMPTS.items():
        place = f"s.yaml:{line}:{column} {path}:"
        yield Case("suite prompt", name, show, 2, place, what, {"s.yaml": HEAD + text})
    for name, (text, column, path, what) in ROWS.items():
        place = f"r.jsonl:2:{column}" + (f" {path}:" if path else ":")
        rows = '{"prompt": "a", "completion": "b"}\n' + text
        yield Case(
            "JSONL row", name, ("suites", "show", "./r.jsonl"), 2, place, what, {"r.jsonl": rows}
        )
    for name, (raw, line, column, what) in BYTES.items():
        for file in ("s.yaml", "r.jsonl"):
            yield Case(
                "suite bytes", f"{name} in {file}", ("suites", "show", f"./{file}"), 2,
                f"{file}:{line}:{column}:", what, {file: raw},
            )  # fmt: skip
    for name, content, what in (
        ("a pipe", fifo, "no file"),
        ("a device", zeros, "no file"),
        ("a folder", folder, "no file"),
        ("a loop of links", loop, "symbolic links"),
    ):
        for file in ("s.yaml", "r.jsonl"):
            yield Case(
                "suite file", f"{name} for {file}", ("suites", "show", f"./{file}"), 2,
                file, what, {file: content},
            )  # fmt: skip
    yield Case("suite file", "10 GB", show, 2, "s.yaml:", "MiB", {"s.yaml": giant})
    yield Case(
        "suite file", "10 GB of rows", ("suites", "show", "./r.jsonl"), 2, "r.jsonl:1:1:", "longer",
        {"r.jsonl": giant},
    )  # fmt: skip
    for name, asked, what in (
        ("no such", "none.yaml", "no such file"),
        ("no such name", "nosuch", "there is no suite"),
        ("another ending", "d/s.txt", "ends in"),
        ("outside", "../../../none.yaml", "no such file"),
        ("too long a name", "x" * 300 + ".yaml", "name too long"),
        ("a password file", "/etc/passwd", "ends in"),
        ("a Windows name", r"..\..\s.yaml", "no such file"),
    ):
        yield Case("suite name", name, ("suites", "show", asked), 2, asked[:60], what)
    yield Case(
        "suite name", "a link out of the project", ("suites", "show", "out"), 2, "suites/out.yaml",
        "outside of the project",
        {"data/suites/out.yaml": lambda path: path.symlink_to("/etc/hostname")},
    )  # fmt: skip
    for rows in ("../r.jsonl", "/etc/r.jsonl", "sub/../../r.jsonl", "link.jsonl", "x" * 300):
        file = rows if rows.endswith(".jsonl") else f"{rows}.jsonl"
        files: dict[str, Content] = {"d/s.yaml": f"name: s\nprompts: {file}\n", "r.jsonl": "{}\n"}
        files["d/link.jsonl"] = lambda path: path.symlink_to("../r.jsonl")
        yield Case(
            "suite rows", rows[:20], ("suites", "show", "d/s.yaml"), 2, "s.yaml:2:10 prompts:",
            "", files,
        )  # fmt: skip


# ---- settings

TOML: dict[str, tuple[Content, str, str]] = {
    "no value": ("model =\n", "punie.toml:1:8:", "Invalid value"),
    "no quotes": ("model = smol\n", "punie.toml:1:9:", "Invalid value"),
    "open quote": ('model = "a\n', "punie.toml:1:11:", "Illegal character"),
    "open table": ("[sampling\n", "punie.toml:1:10:", "Expected"),
    "twice": ('model = "a"\nmodel = "b"\n', "punie.toml:2:", "overwrite"),
    "table twice": ("[journal]\n[journal]\n", "punie.toml:2:9:", "declare"),
    "a colon": ("model: x\n", "punie.toml:1:6:", "Expected '='"),
    "YAML": ("model: x\njournal:\n  text: true\n", "punie.toml:1:6:", "Expected '='"),
    "JSON": ('{"model": "x"}', "punie.toml:1:1:", "Invalid statement"),
    "cut": ('[endpoints.a]\nurl = "http', "punie.toml, at its end:", "Unterminated"),
    "NUL": ('model = "a\0b"\n', "punie.toml:1:11:", "Illegal character"),
    "latin-1": (b'# caf\xe9\nmodel = "a"\n', "punie.toml:1:", "UTF-8"),
    "UTF-16": ('model = "a"\n'.encode("utf-16"), "punie.toml:1:", "UTF-8"),
    "deep": ("x = " + "[" * 5000, "punie.toml:", "nested too deeply"),
    "deep tables": ("a." * 3000 + "b = 1", "punie.toml", ""),
    "unknown": ("modle = 'x'\n", "punie.toml:1:1 modle:", "did you mean model?"),
    "unlike": ("zzz = 1\n", "punie.toml:1:1 zzz:", "no such setting"),
    "unknown inside": ("[sampling]\ntemprature = 1\n", "punie.toml:2:1", "temperature?"),
    "endpoint key": ("[endpoints.a]\nurl='u'\nkeyenv='K'\n", "punie.toml:3:1", "key_env?"),
    "endpoint without url": ("[endpoints.a]\nmodel='m'\n", "endpoints.a.url", "required"),
    "model a number": ("model = 3\n", "punie.toml:1:1 model:", "string"),
    "model a list": ("model = ['a']\n", "punie.toml:1:1 model:", "string"),
    "adapter a table": ("[adapter]\nname='a'\n", "punie.toml", "string"),
    "backend": ("backend = 'cuda9'\n", "punie.toml:1:1 backend:", "'auto', 'mlx'"),
    "tools": ("tools = 'yes'\n", "punie.toml:1:1 tools:", "'auto', 'native'"),
    "concurrency zero": ("concurrency = 0\n", "punie.toml:1:1 concurrency:", "greater than"),
    "concurrency many": ("concurrency = 9999\n", "punie.toml:1:1 concurrency:", "less than"),
    "concurrency half": ("concurrency = 1.5\n", "punie.toml:1:1 concurrency:", "integer"),
    "too hot": ("[sampling]\ntemperature = 3\n", "punie.toml:2:1 sampling.temperature:", "less"),
    "not a number": ("[sampling]\ntemperature = nan\n", "sampling.temperature:", ""),
    "infinite": ("[sampling]\ntemperature = inf\n", "sampling.temperature:", "less"),
    "no tokens": ("[sampling]\nmax_tokens = 0\n", "punie.toml:2:1", "greater"),
    "top_p": ("[sampling]\ntop_p = 0\n", "punie.toml:2:1 sampling.top_p:", "greater than 0"),
    "min_p": ("[sampling]\nmin_p = 2\n", "punie.toml:2:1 sampling.min_p:", "less"),
    "seed": ("[sampling]\nseed = -1\n", "punie.toml:2:1 sampling.seed:", "greater"),
    "sampling a number": ("sampling = 1\n", "punie.toml:1:1 sampling:", "SamplingSettings"),
    "journal word": ("journal = 'sometimes'\n", "journal.entries:", "'asked'"),
    "journal number": ("journal = 1\n", "punie.toml:1:1 journal:", ""),
    "journal text": ("[journal]\ntext = 'maybe'\n", "punie.toml:2:1 journal.text:", "boolean"),
    "endpoints a list": ("endpoints = []\n", "punie.toml:1:1 endpoints:", "dictionary"),
    "price": ("[endpoints.a]\nurl='u'\nprice_input=-1\n", "punie.toml:3:1", "greater"),
    "pace": ("[endpoints.a]\nurl='u'\nrequests_per_minute=0\n", "punie.toml:3:1", "greater"),
    "patience": ("[endpoints.a]\nurl='u'\ntimeout_s=1e9\n", "punie.toml:3:1", "less"),
    "a key in it": ("[endpoints.a]\nurl='u'\napi_key='s'\n", "punie.toml:3:1", "no such setting"),
    "a date": ("model = 2026-01-01\n", "punie.toml:1:1 model:", "string"),
    "two problems": ("modle='x'\ntools='y'\n", "punie.toml:2:1 tools:", "did you mean model?"),
    "10 GB": (giant, "punie.toml:", "MiB"),
    "CRLF": ("modle = 'x'\r\ntools='auto'\r\n", "punie.toml:1:1 modle:", "did you mean"),
    "byte order mark": (b"\xef\xbb\xbfmodle = 'x'\n", "punie.toml:1:1 modle:", "did you mean"),
}
PYPROJECT: dict[str, tuple[str, str, str]] = {
    "unknown": ("[tool.punie]\nmodle='x'\n", "pyproject.toml:2:1 modle:", "did you mean model?"),
    "further down": (
        "[project]\nname='p'\n\n[tool.punie]\nconcurrency=0\n", "pyproject.toml:5:1", "greater"),
    "inside": ("[tool.punie.sampling]\nseed=-1\n", "pyproject.toml:2:1 sampling.seed:", "greater"),
    "an endpoint": ("[tool.punie.endpoints.a]\nurl=1\n", "pyproject.toml:2:1", "string"),
    "a model": ("[tool.punie]\nmodel=[]\n", "pyproject.toml:2:1 model:", "string"),
    "CRLF": ("[tool.punie]\r\ntools='x'\r\n", "pyproject.toml:2:1 tools:", "'auto'"),
}  # fmt: skip
ENVIRONMENT: dict[str, tuple[str, str]] = {
    "PUNIE_MODLE": ("x", "did you mean model?"),
    "PUNIE_CONCURRENCY": ("many", "integer"),
    "PUNIE_BACKEND": ("gpu", "'auto'"),
    "PUNIE_TOOLS": ("1", "'auto'"),
    "PUNIE_SAMPLING__TEMPERATURE": ("hot", "number"),
    "PUNIE_SAMPLING__TEMPRATURE": ("1", "temperature?"),
    "PUNIE_SAMPLING__TOP_P": ("nan", ""),
    "PUNIE_SAMPLING__SEED": ("-3", "greater"),
    "PUNIE_SAMPLING": ("{}", ""),
    "PUNIE_JOURNAL__TEXT": ("perhaps", "boolean"),
    "PUNIE_JOURNAL": ("daily", "'asked'"),
    "PUNIE_ENDPOINTS__LAB__PRICE_INPUT": ("-1", ""),
    "PUNIE_ENDPOINTS": ("http://x", ""),
    "PUNIE___": ("x", "no such setting"),
}


def _data() -> Iterator[Case]:
    for group, spoiled in (("data row", DATA_ROWS), ("data bytes", DATA_BYTES)):
        for name, (content, where, what) in spoiled.items():
            place = f"d.jsonl{where}" if where.startswith(":") else where or "d.jsonl:"
            yield Case(
                group, name, ("data", "show", "d.jsonl"), 2, place, what, {"d.jsonl": content}
            )
    for name, content, what in (
        ("a pipe", fifo, "no regular file"),
        ("a device", zeros, "no regular file"),
        ("a folder", folder, "has no train.jsonl"),
        ("a loop of links", loop, "no such file"),
        ("10 GB", giant, "longer"),
    ):
        for argv in (("show", "d.jsonl"), ("split", "d.jsonl")):
            yield Case(
                "data file", f"{name} to {argv[0]}", ("data", *argv), 2, "d.jsonl", what,
                {"d.jsonl": content},
            )  # fmt: skip
    rows = '{"text": "a"}\n'
    for name, manifest, what in (
        ("no JSON", "{", "Invalid JSON"),
        ("no manifest", "{}", "name: Field required"),
        ("another key", '{"name": "a", "hash": "", "splits": {}, "rows": 1}', "rows: Extra"),
        ("nesting", "[" * 100_000, "Invalid JSON"),
        ("a pipe", fifo, "no regular file"),
        ("10 GB", giant, "MiB"),
    ):
        files: dict[str, Content] = {"d/train.jsonl": rows, "d/manifest.json": manifest}
        yield Case(
            "data manifest", name, ("data", "show", "./d"), 2, "d/manifest.json:", what, files
        )
    for name, argv, what in (
        ("no such", ("show", "nosuch"), "there is no dataset"),
        ("too long a name", ("show", "x" * 300), "there is no dataset"),
        ("a password file", ("show", "/etc/passwd"), "JSON lines"),
        ("no shares", ("split", "d.jsonl", "--shares", "a/b"), "add up to 100"),
        ("too many shares", ("split", "d.jsonl", "--shares", "25/25/25/25"), "add up to 1"),
        ("NaN shares", ("split", "d.jsonl", "--shares", "nan/nan"), "add up to"),
        ("a name of a path", ("split", "d.jsonl", "--name", "../d"), "cannot name a dataset"),
    ):
        yield Case("data name", name, ("data", *argv), 2, "", what, {"d.jsonl": rows})


def _settings() -> Iterator[Case]:
    for name, (content, place, what) in TOML.items():
        yield Case("punie.toml", name, ("config",), 2, place, what, {"punie.toml": content})
    for name, (content, place, what) in PYPROJECT.items():
        yield Case("pyproject", name, ("config",), 2, place, what, {"pyproject.toml": content})
    for name, (value, what) in ENVIRONMENT.items():
        yield Case("environment", name, ("config",), 2, name, what, env={name: value})


# ---- models and adapters

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
QUERY = "model.layers.0.self_attn.q_proj"


def tensors(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    """A safetensors file of zeros."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        size = 4
        for n in shape:
            size *= n
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    return raw_header(header) + bytes(end)


def raw_header(header: Any) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


def one_tensor(**changes: Any) -> bytes:
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes
    return raw_header({"a": entry}) + bytes(16)


GOOD_MODEL: dict[str, bytes] = {
    "config.json": json.dumps({"model_type": "llama", "num_hidden_layers": 1}).encode(),
    "tokenizer.json": b'{"added_tokens": []}',
    "tokenizer_config.json": json.dumps({"chat_template": TEMPLATE}).encode(),
    "model.safetensors": tensors({f"{QUERY}.weight": (8, 8)}),
}
CONFIG, TOKENIZER, TOKENS = "config.json", "tokenizer_config.json", "tokenizer.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
MODELS: dict[str, tuple[str, Content | None, str]] = {
    "no config": (CONFIG, None, "has no config.json"),
    "empty config": (CONFIG, "", "config.json:1:1:"),
    "cut config": (CONFIG, '{"model_type":\n "llama"', "config.json:2:9:"),
    "config a list": (CONFIG, "[]", "config.json does not hold"),
    "config a text": (CONFIG, '"llama"', "config.json does not hold"),
    "config with a mark": (CONFIG, b'\xef\xbb\xbf{"model_type": "x"}', "config.json"),
    "config in UTF-16": (CONFIG, '{"model_type": "x"}'.encode("utf-16"), "config.json"),
    "config in latin-1": (CONFIG, b'{"model_type": "\xe9"}', "config.json"),
    "config of NULs": (CONFIG, bytes(100), "config.json:1:1:"),
    "config with comments": (CONFIG, '{\n// x\n"model_type": 1}', "config.json:2:1:"),
    "config in Python": (CONFIG, "{'model_type': 'llama'}", "config.json:1:2:"),
    "deep config": (CONFIG, '{"a":' * 100_000, "config.json"),
    "config a pipe": (CONFIG, fifo, "config.json: is no regular file"),
    "config a device": (CONFIG, zeros, "config.json: is no regular file"),
    "config of 10 GB": (CONFIG, giant, "config.json: is 10,240 MiB"),
    "config a folder": (CONFIG, folder, "config.json: is a folder"),
    "config a loop": (CONFIG, loop, "config.json"),
    "no model_type": (CONFIG, "{}", "names no model_type"),
    "model_type a number": (CONFIG, '{"model_type": 3}', "names no model_type"),
    "model_type a path": (CONFIG, '{"model_type": "../../x"}', "model_type '../../x'"),
    "model_type dotted": (CONFIG, '{"model_type": "os.path"}', "model_type 'os.path'"),
    "code of its own": (
        CONFIG, '{"model_type": "x", "model_file": "evil.py"}', "'evil.py' as model_file"),
    "no tokenizer": (TOKENS, None, "has no tokenizer"),
    "cut tokenizer": (TOKENS, '{"added_tokens": [', "tokenizer.json:1:19:"),
    "tokenizer a pipe": (TOKENS, fifo, "tokenizer.json: is no regular file"),
    "tokenizer of 10 GB": (TOKENS, giant, "tokenizer.json: is 10,240 MiB"),
    "added tokens a number": (TOKENS, '{"added_tokens": 7}', "not of the expected form"),
    "added tokens of texts": (TOKENS, '{"added_tokens": ["a"]}', "not of the expected form"),
    "settings a device": (TOKENIZER, zeros, "tokenizer_config.json: is no regular file"),
    "settings a pipe": (TOKENIZER, fifo, "tokenizer_config.json: is no regular file"),
    "settings no JSON": (TOKENIZER, "{,}", "tokenizer_config.json:1:2:"),
    "settings a list": (TOKENIZER, "[1]", "tokenizer_config.json does not hold"),
    "templates of numbers": (TOKENIZER, '{"chat_template": [1]}', "not of the expected form"),
    "template a pipe": ("chat_template.jinja", fifo, "chat_template.jinja: is no regular file"),
    "template of 10 GB": ("chat_template.jinja", giant, "chat_template.jinja: is 10,240 MiB"),
    "endless template": (
        "chat_template.jinja",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "chat template takes too much"),
    "hungry template": ("chat_template.jinja", "{{ 'x' * 10 ** 10 }}", "chat template takes more"),
    "another template a pipe": (
        "additional_chat_templates/t.jinja", fifo, "t.jinja: is no regular file"),
    "no weights": (WEIGHTS, None, "holds no weights"),
    "weights a pipe": (WEIGHTS, fifo, "model.safetensors: is no regular file"),
    "weights a device": (WEIGHTS, zeros, "model.safetensors: is no regular file"),
    "weights a folder": (WEIGHTS, folder, "model.safetensors: is a folder"),
    "weights empty": (WEIGHTS, "", "is cut short"),
    "weights sparse": (WEIGHTS, giant, "model.safetensors"),
    "weights a web page": (WEIGHTS, "<html>404</html>", "is cut short"),
    "weights a pointer": (WEIGHTS, "version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "weights a zip": (WEIGHTS, b"PK\x03\x04" + bytes(60), "is a pickle under another name"),
    "weights a pickle": (WEIGHTS, b"\x80\x04\x95" + b"A" * 60, "is a pickle under another name"),
    "header too long": (WEIGHTS, (2**40).to_bytes(8, "little") + bytes(60), "is cut short"),
    "header no JSON": (WEIGHTS, b"\x04" + bytes(7) + b"{oo}", "damaged header"),
    "header a list": (WEIGHTS, raw_header([1]), "damaged header"),
    "header deep": (WEIGHTS, (10**6).to_bytes(8, "little") + b"[" * 10**6, "damaged header"),
    "tensor a number": (WEIGHTS, raw_header({"a": 1}), "damaged header"),
    "tensor without shape": (WEIGHTS, raw_header({"a": {"dtype": "F32"}}), "damaged header"),
    "unknown type": (WEIGHTS, one_tensor(dtype="F33"), "damaged header"),
    "wrong size": (WEIGHTS, one_tensor(shape=[2, 3]), "size of its shape"),
    "negative shape": (WEIGHTS, one_tensor(shape=[-2, -2]), "damaged"),
    "shape of texts": (WEIGHTS, one_tensor(shape=["a"]), "damaged header"),
    "huge shape": (WEIGHTS, one_tensor(shape=[2**62, 2**62]), "size of its shape"),
    "offsets backwards": (WEIGHTS, one_tensor(data_offsets=[16, 0]), "damaged"),
    "offsets beyond": (WEIGHTS, one_tensor(data_offsets=[0, 1600]), "damaged"),
    "a gap": (WEIGHTS, one_tensor(data_offsets=[4, 20]), "overlap or leave gaps"),
    "cut data": (WEIGHTS, one_tensor()[:-4], "should hold 16 bytes"),
    "shard outside": (
        INDEX, '{"weight_map": {"a": "../../x.safetensors"}}', "'../../x.safetensors'"),
    "shard absolute": (
        INDEX, '{"weight_map": {"a": "/etc/x.safetensors"}}', "'/etc/x.safetensors'"),
    "shard of Windows": (
        INDEX, '{"weight_map": {"a": "..\\\\x.safetensors"}}', "no weight file of its folder"),
    "shard a pickle": (INDEX, '{"weight_map": {"a": "x.bin"}}', "'x.bin'"),
    "shard missing": (INDEX, '{"weight_map": {"a": "x.safetensors"}}', "lacks 1 of its 1"),
    "index no JSON": (INDEX, "{", "index.json:1:2:"),
    "index of lists": (INDEX, '{"weight_map": ["a"]}', "not of the expected form"),
    "index of numbers": (INDEX, '{"weight_map": {"a": 1}}', "not of the expected form"),
    "index a pipe": (INDEX, fifo, "index.json: is no regular file"),
}  # fmt: skip


def _models() -> Iterator[Case]:
    show = ("models", "show", "./model")
    for name, (file, content, what) in MODELS.items():
        files: dict[str, Content] = {f"model/{each}": raw for each, raw in GOOD_MODEL.items()}
        files.pop(f"model/{file}", None)
        if content is not None:
            files[f"model/{file}"] = content
        yield Case("model", name, show, 5, "model", what, files)
    for name in ("pytorch_model.bin", "model.pt", "model.pkl", "model.ckpt"):
        files = {f"model/{each}": raw for each, raw in GOOD_MODEL.items() if each != WEIGHTS}
        files[f"model/{name}"] = b"\x80\x04."
        yield Case("model", name, show, 5, f"pickled weights ({name})", "run code", files)
    for asked, code, what in (
        ("./none", 5, "no file or folder ./none"),
        ("/etc", 5, "has no config.json"),
        ("../../../none", 5, "no file or folder ../../../none"),
        ("/dev/zero", 2, "neither a model folder nor a .gguf"),
        ("nosuch-model", 5, "no model called"),
        ("org/../../x", 5, "there is no"),
        ("x" * 300, 5, "there is no"),
        (" ", 2, "name is empty"),
        (r"C:\models\x", 5, "there is no"),
    ):
        yield Case("model name", asked[:30], ("models", "show", asked), code, what)
    for name, content, code, what in (
        ("no GGUF", "hello", 2, "is no GGUF file"),
        ("an empty one", "", 2, "is no GGUF file"),
        ("a pipe", fifo, 2, "is no regular file"),
        ("a device", zeros, 2, "is no regular file"),
    ):
        asked = ("models", "pull", "./x.gguf")
        yield Case("GGUF", name, asked, code, "x.gguf", what, {"x.gguf": content})


GOOD_CONFIG: dict[str, Any] = {
    "num_layers": 1,
    "lora_parameters": {"rank": 2, "scale": 20.0, "dropout": 0.0},
}
GOOD_ADAPTER = {f"{QUERY}.lora_a": (8, 2), f"{QUERY}.lora_b": (2, 8)}


def parameters(**changes: Any) -> str:
    known = {**GOOD_CONFIG["lora_parameters"], **changes}
    left = {key: value for key, value in known.items() if value is not ...}
    return json.dumps({**GOOD_CONFIG, "lora_parameters": left})


SETTINGS, LORA = "adapter_config.json", "adapters.safetensors"
ADAPTERS: dict[str, tuple[str, Content | None, str]] = {
    "no settings": (SETTINGS, None, "has no adapter_config.json"),
    "settings cut": (SETTINGS, '{"lora_parameters": {', "adapter_config.json:1:22:"),
    "settings a list": (SETTINGS, "[]", "adapter_config.json does not hold"),
    "settings a pipe": (SETTINGS, fifo, "adapter_config.json: is no regular file"),
    "settings of 10 GB": (SETTINGS, giant, "adapter_config.json: is 10,240 MiB"),
    "settings deep": (SETTINGS, "[" * 100_000, "adapter_config.json"),
    "settings in UTF-16": (SETTINGS, "{}".encode("utf-16"), "adapter_config.json"),
    "no parameters": (SETTINGS, "{}", "lacks dropout"),
    "parameters a list": (SETTINGS, '{"lora_parameters": []}', "lacks dropout"),
    "no rank": (SETTINGS, parameters(rank=...), "lacks rank"),
    "no scale": (SETTINGS, parameters(scale=...), "lacks scale"),
    "rank 0": (SETTINGS, parameters(rank=0), "lora_parameters.rank 0"),
    "rank -1": (SETTINGS, parameters(rank=-1), "lora_parameters.rank -1"),
    "rank half": (SETTINGS, parameters(rank=1.5), "lora_parameters.rank 1.5"),
    "rank a text": (SETTINGS, parameters(rank="8"), "lora_parameters.rank '8'"),
    "rank true": (SETTINGS, parameters(rank=True), "lora_parameters.rank True"),
    "rank huge": (SETTINGS, parameters(rank=10**9), "lora_parameters.rank 1000000000"),
    "scale NaN": (SETTINGS, parameters(scale=float("nan")), "lora_parameters.scale nan"),
    "scale infinite": (SETTINGS, parameters(scale=float("inf")), "lora_parameters.scale inf"),
    "scale negative": (SETTINGS, parameters(scale=-20), "lora_parameters.scale -20"),
    "scale 0": (SETTINGS, parameters(scale=0), "lora_parameters.scale 0"),
    "scale huge": (SETTINGS, parameters(scale=1e30), "lora_parameters.scale 1e+30"),
    "scale a text": (SETTINGS, parameters(scale="20"), "lora_parameters.scale '20'"),
    "scale a list": (SETTINGS, parameters(scale=[1]), "lora_parameters.scale [1]"),
    "dropout 1": (SETTINGS, parameters(dropout=1), "lora_parameters.dropout 1"),
    "dropout negative": (SETTINGS, parameters(dropout=-0.1), "lora_parameters.dropout -0.1"),
    "another rank": (SETTINGS, parameters(rank=4), "states rank 4"),
    "too many layers": (
        SETTINGS, json.dumps({**GOOD_CONFIG, "num_layers": 30}), "deeper base"),
    "no weights": (LORA, None, "has no adapters.safetensors"),
    "weights empty": (LORA, "", "is cut short"),
    "weights a pipe": (LORA, fifo, "is no regular file"),
    "weights a device": (LORA, zeros, "is no regular file"),
    "weights a zip": (LORA, b"PK\x03\x04" + bytes(60), "pickle under another name"),
    "weights a pickle": (LORA, b"\x80\x02" + b"A" * 60, "pickle under another name"),
    "no tensors": (LORA, raw_header({}), "holds no tensors"),
    "only metadata": (LORA, raw_header({"__metadata__": {}}), "holds no tensors"),
    "not LoRA's": (LORA, tensors({"a.weight": (2, 2)}), "no lora_a"),
    "only lora_a": (LORA, tensors({f"{QUERY}.lora_a": (8, 2)}), "lora_b is missing"),
    "ranks differ": (
        LORA, tensors({f"{QUERY}.lora_a": (8, 2), f"{QUERY}.lora_b": (3, 8)}), "states rank 2"),
    "another width": (
        LORA, tensors({f"{QUERY}.lora_a": (6, 2), f"{QUERY}.lora_b": (2, 6)}), "another base"),
    "another model": (
        LORA, tensors({"h.0.attn.lora_a": (8, 2), "h.0.attn.lora_b": (2, 8)}), "another base"),
    "a deeper layer": (
        LORA, tensors({k.replace(".0.", ".7."): v for k, v in GOOD_ADAPTER.items()}), "deeper"),
    "lora_b flat": (
        LORA, tensors({f"{QUERY}.lora_a": (8, 2), f"{QUERY}.lora_b": (2,)}), "adapter"),
    "both forms": ("adapter_model.safetensors", tensors(GOOD_ADAPTER), "two forms of an adapter"),
    "PEFT's pickle beside": ("adapter_model.bin", b"\x80\x04.", "two forms of an adapter"),
    "PEFT's settings": (SETTINGS, '{"peft_type": "LORA"}', "two forms of an adapter"),
}  # fmt: skip


PEFT_CONFIG: dict[str, Any] = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["q_proj"],
    "base_model_name_or_path": "someone/another-model",
}
PEFT_LORA = "adapter_model.safetensors"
PEFT_A = f"base_model.model.{QUERY}.lora_A.weight"
PEFT_B = f"base_model.model.{QUERY}.lora_B.weight"
PEFT_ADAPTER = {PEFT_A: (2, 8), PEFT_B: (8, 2)}


def peft(**changes: Any) -> str:
    return json.dumps({**PEFT_CONFIG, **changes})


PEFT_ADAPTERS: dict[str, tuple[str, Content | None, str]] = {
    "settings cut": (SETTINGS, '{"peft_type": ', "adapter_config.json:1:15:"),
    "settings a pipe": (SETTINGS, fifo, "adapter_config.json: is no regular file"),
    "settings of mlx_lm": (SETTINGS, json.dumps(GOOD_CONFIG), "mlx_lm's adapter_config.json"),
    "weights torn": (PEFT_LORA, tensors(PEFT_ADAPTER)[:-8], "it should hold"),
    "only lora_A": (PEFT_LORA, tensors({PEFT_A: (2, 8)}), "without base_model"),
    "another width": (PEFT_LORA, tensors({PEFT_A: (2, 6), PEFT_B: (6, 2)}), "another base"),
    "IA3": (SETTINGS, peft(peft_type="IA3"), "of the kind 'IA3'"),
}  # fmt: skip


def _peft_adapters() -> Iterator[Case]:
    asked = ("eval", "quick", "--model", "./model", "--adapter", "./adapter")
    base: dict[str, Content] = {f"model/{each}": raw for each, raw in GOOD_MODEL.items()}
    good = {SETTINGS: peft(), PEFT_LORA: tensors(PEFT_ADAPTER)}
    for name, (file, content, what) in PEFT_ADAPTERS.items():
        files = {**base, **{f"adapter/{each}": raw for each, raw in good.items() if each != file}}
        if content is not None:
            files[f"adapter/{file}"] = content
        yield Case("PEFT adapter", name, asked, 5, "adapter", what, files)
    pickled = {**base, f"adapter/{SETTINGS}": peft(), "adapter/adapter_model.bin": b"\x80\x04."}
    yield Case("PEFT adapter", "a pickle", asked, 5, "adapter", "only pickled weights", pickled)


def _adapters() -> Iterator[Case]:
    asked = ("eval", "quick", "--model", "./model", "--adapter", "./adapter")
    base: dict[str, Content] = {f"model/{each}": raw for each, raw in GOOD_MODEL.items()}
    good = {SETTINGS: json.dumps(GOOD_CONFIG), LORA: tensors(GOOD_ADAPTER)}
    for name, (file, content, what) in ADAPTERS.items():
        files = {**base, **{f"adapter/{each}": raw for each, raw in good.items() if each != file}}
        if content is not None:
            files[f"adapter/{file}"] = content
        yield Case("adapter", name, asked, 5, "adapter", what, files)
    for name, what in (
        ("./none", "no adapter folder"),
        ("../../none", "no adapter folder"),
        ("/dev/null", "no adapter folder"),
        ("x" * 300, "File name too long"),
    ):
        yield Case("adapter name", name[:20], (*asked[:-1], name), 5, what, "", base)


# ---- journal entries, and references to runs

ENTRY, RUN = "entry.md", "run.json"
EDITS: dict[str, tuple[str, str, str, str]] = {
    "no front matter": (ENTRY, "---\n", "", "front matter is missing"),
    "front matter twice": (ENTRY, "goal: ", "id: 1\ngoal: ", "stands twice"),
    "no colon": (ENTRY, "goal: ", "goal ", "no `key: value`"),
    "no JSON": (ENTRY, 'goal: "', "goal: [", "is no JSON"),
    "another goal": (ENTRY, 'goal: "First', 'goal: "Last', "run.json gives"),
    "unknown key": (ENTRY, "goal: ", 'gaol: "x"\ngoal: ', "not a key"),
    "another id": (ENTRY, 'id: "2', 'id: "3', "run.json gives"),
    "a deep value": (ENTRY, 'goal: "', "goal: " + "[" * 5000 + '"', "is no JSON"),
    "no begin": (ENTRY, "<!-- punie:begin results -->\n", "", "punie:begin results --> is missing"),
    "no end": (ENTRY, "<!-- punie:end -->", "", "punie:end --> is missing"),
    "two begins": (
        ENTRY, "<!-- punie:end -->", "<!-- punie:begin results -->\n<!-- punie:end -->", "twice"),
    "an edited number": (ENTRY, "%", " %%", "run.json gives"),
    "an added line": (ENTRY, "<!-- punie:end -->", "Perfect.\n<!-- punie:end -->", "results"),
    "results cut": (RUN, '"rows":[', '"rows":[7', ""),
    "empty record": (RUN, "{", "", ""),
    "record a list": (RUN, "{\n", "[\n", ""),
    "unknown field": (RUN, "{\n", '{\n"zzz": 1,\n', "zzz"),
    "a field twice": (RUN, "{\n", '{\n"entry": {},\n', ""),
    "NaN": (RUN, '"rows":[', '"rows":[NaN,', "NaN"),
    "a number for a text": (RUN, '"goal":"', '"goal":7,"x":"', ""),
    "deep": (RUN, '"rows":[', '"rows":' + "[" * 5000, ""),
    "a lone surrogate": (RUN, '"goal":"', '"goal":"\\ud800', ""),
    "another hash": (RUN, '"results_sha256":"', '"results_sha256":"0', ""),
}  # fmt: skip


def _entries() -> Iterator[Case]:
    for name, (file, old, new, what) in EDITS.items():
        yield Case(
            "journal", name, ("journal", "check"), 3, f"{file}:", what, edit=(file, old, new)
        )
    for name, file in (("a pipe", ENTRY), ("a pipe", RUN)):
        yield Case(
            "journal", f"{name} for {file}", ("journal", "check"), 3, file, "", edit=(file, "", "")
        )


def _references() -> Iterator[Case]:
    for reference in (
        "../../etc/passwd", "/etc/passwd", "last~99", "last~x", "nosuch", "..", "x" * 300, "%2e%2e",
        r"..\..\x", "a/b",
    ):  # fmt: skip
        for command in (("runs", "show"), ("report",), ("runs", "export")):
            argv = (*command, reference)
            yield Case("run reference", f"{' '.join(command)} {reference[:20]}", argv, 2, "run")
    for file in ("r.txt", "r", "r.json.exe", "../r.xlsx", "."):
        argv = ("eval", "quick", "--url", "http://127.0.0.1:9/v1", "--model", "m", "--output", file)
        yield Case("output", file, argv, 2, "written as")


def cases() -> list[Case]:
    """All of them."""
    found = [
        *_suites(),
        *_data(),
        *_settings(),
        *_models(),
        *_adapters(),
        *_peft_adapters(),
        *_entries(),
        *_references(),
    ]
    assert len({str(case) for case in found}) == len(found)
    return found


# ---- running one


@dataclass(frozen=True)
class Ended:
    """How a command ended. `code` is None where an exception got out."""

    code: int | str | None
    out: str
    err: str


def run_punie(argv: tuple[str, ...], project: Path, env: Mapping[str, str]) -> Ended:
    """Run the program's own `main` in this process, in the folder `project`."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNIE_", "OPENAI_"))}
    home = str(project.parent / "home")
    own = {"HOME": home, "XDG_CONFIG_HOME": home, "HF_HUB_CACHE": home, "HF_HUB_OFFLINE": "1"}
    own |= {"PUNIE_CACHE": str(project.parent / "cache"), "NO_COLOR": "1", "COLUMNS": "200"}
    code: int | str | None = None
    with (
        contextlib.chdir(project),
        patch.dict(os.environ, {**kept, **own, **env}, clear=True),
        patch.object(sys, "argv", ["punie", *argv]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        except BaseException:  # noqa: BLE001 - whatever got out is what we look for
            err.write(traceback.format_exc())
    return Ended(code, _written(out), _written(err))


def _written(stream: io.TextIOWrapper) -> str:
    """What a program wrote, text and bytes."""
    stream.flush()
    content = stream.buffer
    assert isinstance(content, io.BytesIO)
    return content.getvalue().decode("utf-8")


@cache
def _good_project() -> Path:
    """A project with one run and one entry of it, written and rendered."""
    project = Path(tempfile.mkdtemp(prefix="punie-malformed-")) / "project"
    (project / ".punie").mkdir(parents=True)
    rows = journal_run.rows()
    run = journal_run.report(rows).run
    suite = EvalSuite(name="baseline", prompts=tuple(journal_run.prompts()), hash=run.suite_hash)
    with RunStore(project) as store:
        store.create(run, suite)
        store.add(run.id, [outcome for _, outcome in rows])
    for argv in (("journal", "new", "First baseline"), ("journal", "render")):
        assert run_punie(argv, project, {}).code == 0
    assert run_punie(("journal", "check"), project, {}).code == 0
    return project


def _laid_out(case: Case, at: Path) -> Path:
    project = at / "project"
    if case.edit:
        shutil.copytree(_good_project(), project)
        file, old, new = case.edit
        (path,) = (project / "journal").rglob(file)
        if not old:
            path.unlink()
            os.mkfifo(path)
            return project
        text = path.read_text()
        assert old in text, f"{case}: {old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1))
        return project
    (project / ".punie").mkdir(parents=True)
    for name, content in case.files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_bytes(content.encode("utf-8", "surrogateescape"))
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)
    return project


def faults_of(case: Case, at: Path) -> list[str]:
    """What is wrong with punie's answer to a case; nothing if all is as it must be."""
    project = _laid_out(case, at)
    plain = run_punie(case.argv, project, case.env)
    coded = (
        run_punie((*case.argv, *_json_flag(case)), project, case.env) if _json_flag(case) else plain
    )
    wrong: list[str] = []
    for ended in (plain, coded):
        said = ended.out + ended.err
        if ended.code != case.code:
            wrong.append(f"exit code {ended.code}, not {case.code}: {said[-600:]}")
        if "Traceback" in said or "mistake of its own" in said:
            wrong.append(f"a traceback: {said[-600:]}")
    said = plain.out + plain.err
    wrong += [
        f"{words!r} is not in: {said[-600:]}"
        for words in (case.place, case.words)
        if words not in said
    ]
    if case.group != "journal" and "hint" not in plain.err:
        wrong.append(f"no hint: {plain.err[-300:]}")
    if _json_flag(case):
        wrong += _envelope_faults(case, coded)
    return wrong


def _json_flag(case: Case) -> tuple[str, ...]:
    return () if case.argv[:2] == ("runs", "export") else ("--json",)


def _envelope_faults(case: Case, ended: Ended) -> Iterator[str]:
    try:
        envelope = json.loads(ended.out)
    except ValueError:
        yield f"no JSON on stdout: {ended.out[:300]}"
        return
    if case.group == "journal":
        return
    error = envelope.get("error", {})
    if not {"code", "message", "hint"} <= error.keys():
        yield f"no error envelope: {ended.out[:300]}"
    elif case.place not in error["message"]:
        yield f"{case.place!r} is not in the envelope: {error['message'][:300]}"


def tried_and_passed() -> tuple[int, int]:
    """For a bench: how many cases were tried, and how many of them passed."""
    found = cases()
    passed = 0
    for case in found:
        with tempfile.TemporaryDirectory(prefix="punie-malformed-") as at:
            passed += not faults_of(case, Path(at))
    return len(found), passed


if __name__ == "__main__":
    print("malformed files: tried %d, passed %d" % tried_and_passed())  # noqa: T201, UP031

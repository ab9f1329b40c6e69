"""What a template can do is what it renders, and what mlx_lm makes of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from punie.errors import ModelError
from punie.models.fingerprint import template_hash
from punie.models.template import PARSERS, read_template, template_abilities, tool_parser

CHAT = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"


def model(folder: Path, template: Any, *, tokens: tuple[str, ...] = (), **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    config = {"chat_template": template, **more}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    added = [{"content": token} for token in tokens]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    return folder


def test_a_plain_chat(tmp_path: Path):
    able = template_abilities(model(tmp_path, CHAT))
    assert (able.chat, able.system, able.tools, able.thinking) == (True, True, False, False)
    assert able.parser is None
    assert not able.native_tools


def test_tools_count_only_where_they_are_rendered(tmp_path: Path):
    mentioned = CHAT + "{% if tools %}You have tools.{% endif %}{# <tool_call> tool_call.name #}"
    assert not template_abilities(model(tmp_path, mentioned)).tools
    rendered = CHAT + "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}"
    able = template_abilities(model(tmp_path, rendered))
    assert able.tools
    assert not able.native_tools, "without a parser the calls stay text"
    able = template_abilities(model(tmp_path, rendered + "{# <tool_call> tool_call.name #}"))
    assert able.native_tools
    assert able.parser == "json_tools"


def test_a_template_of_its_own_for_tools(tmp_path: Path):
    both = [
        {"name": "default", "template": CHAT},
        {"name": "tool_use", "template": CHAT + "{{ tools | tojson }}"},
    ]
    assert template_abilities(model(tmp_path, both)).tools


def test_thinking_follows_the_vocabulary_and_the_switch(tmp_path: Path):
    switch = CHAT + "{% if enable_thinking is false %}<think></think>{% endif %}"
    able = template_abilities(model(tmp_path, switch, tokens=("<think>", "</think>")))
    assert able.thinking
    assert able.thinking_switch
    able = template_abilities(model(tmp_path, CHAT))
    assert not able.thinking
    assert not able.thinking_switch


def test_a_template_that_refuses_the_system_turn(tmp_path: Path):
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + CHAT
    able = template_abilities(model(tmp_path, refuses))
    assert able.chat
    assert not able.system


def test_what_transformers_offers_is_there(tmp_path: Path):
    rich = (
        "{% for m in messages %}{% if loop.index > 5 %}{% break %}{% endif %}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
        "{{ strftime_now('%Y') }}{{ bos_token }}"
    )
    assert template_abilities(model(tmp_path, rich, bos_token={"content": "<s>"})).chat


@pytest.mark.parametrize(
    "broken",
    [
        "{% for %}",
        "{{ messages.nothing.more }}",
        "{{ 1 / 0 }}",
        "{{ messages + 1 }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ range(1000000000) }}",
        "",
    ],
)
def test_a_broken_or_hostile_template_has_no_abilities(tmp_path: Path, broken: str):
    assert not template_abilities(model(tmp_path, broken)).chat


@pytest.mark.parametrize(
    ("hostile", "what"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "time"),
        ("{% macro f(n) %}{{ f(n + 1) if n < 60 }}{{ f(n + 1) if n < 60 }}{% endmacro %}{{ f(0) }}",
         "time"),
        ("{{ 'x' * 10 ** 10 }}", "memory"),
        ("{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x=n.x*2 %}{% endfor %}",
         "(memory|time)"),  # filling a gigabyte takes a slow machine long
        ("{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "characters"),
    ],
)  # fmt: skip
def test_a_template_without_an_end_is_a_damaged_model(tmp_path: Path, hostile: str, what: str):
    with pytest.raises(ModelError, match=f"chat template .*{what}") as caught:
        template_abilities(model(tmp_path, CHAT + hostile))
    assert caught.value.hint


def test_a_template_cannot_import_what_lies_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "jinja2.py").write_text("open('harmed', 'w')")
    monkeypatch.chdir(tmp_path)
    assert template_abilities(model(tmp_path / "m", CHAT)).chat
    assert not (tmp_path / "harmed").exists()


def test_a_template_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    reaches = "{{ (cycler.__init__.__globals__ if cycler) }}{{ lipsum.__globals__ }}"
    assert not template_abilities(model(tmp_path, CHAT + reaches)).chat


def test_a_file_of_its_own_wins(tmp_path: Path):
    folder = model(tmp_path, "{{ 'nothing' }}")
    before = template_hash(folder)
    (folder / "chat_template.jinja").write_text(CHAT)
    assert read_template(folder) == {"default": CHAT}
    assert template_hash(folder) != before
    (folder / "tokenizer_config.json").unlink()
    assert template_abilities(folder).chat


def test_no_template(tmp_path: Path):
    assert template_hash(tmp_path) is None
    assert not template_abilities(tmp_path).chat


def test_the_parser_is_the_one_that_mlx_lm_chooses(tmp_path: Path):
    cases: list[tuple[dict[str, Any], str, list[str]]] = [({}, "plain", [])]
    cases += [({}, " ".join(markers), []) for _, sets in PARSERS for markers in sets]
    cases += [
        ({}, "<tool_call>", []),
        ({}, "<tool_call> tool_call.name [TOOL_CALLS]", []),
        ({}, "", ["<|tool_call_start|>", "<|tool_call_end|>"]),
        ({}, "", ["<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"]),
    ]
    ours = [tool_parser(own, {"default": text}, vocabulary) for own, text, vocabulary in cases]
    program = (
        "import json, sys; from types import SimpleNamespace as N\n"
        "from mlx_lm.tokenizer_utils import _infer_tool_parser as infer\n"
        "for _, text, vocab in json.load(open(sys.argv[1])):\n"
        "    t = N(chat_template=text, get_vocab=lambda v=vocab: {w: 0 for w in v})\n"
        "    print(json.dumps(infer(t)))\n"
    )
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    argv = [sys.executable, "-c", program, str(tmp_path / "cases.json")]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120)
    theirs = [json.loads(line) for line in said.stdout.splitlines()]
    assert ours == theirs
    assert tool_parser({"tool_parser_type": "mine"}, {"default": "x"}, []) == "mine"


def test_the_tiny_model_has_tools(tiny_model: Path):
    able = template_abilities(tiny_model)
    assert able.native_tools
    assert able.parser == "json_tools"

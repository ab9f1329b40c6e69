"""What a model's chat template can do, found by rendering it as transformers would.

The rules by which the server picks a tool parser are those of mlx_lm 0.32.2 (`tokenizer_utils.py`,
`_infer_tool_parser` and `_infer_thinking`): markers in the template's text, then the vocabulary.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from punie.errors import ModelError
from punie.models.check import read_json
from punie.models.rendering import render
from punie.reading import MIB, read_regular
from punie.records.model import TemplateAbilities

MAX_TEMPLATES = 100
PROBE = "zqprobe"
"""A word that no template contains by itself."""
_TOOL = {
    "type": "function",
    "function": {
        "name": f"{PROBE}_tool",
        "description": "Look up a word.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string", "description": "The word."}},
            "required": ["word"],
        },
    },
}
PARSERS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("minimax_m2", (("<minimax:tool_call>",),)),
    ("gemma4", (("<|tool_call>", "<tool_call|>"),)),
    ("function_gemma", (("<start_function_call>",),)),
    ("longcat", (("<longcat_tool_call>",),)),
    ("glm47", (("<arg_key>",),)),
    ("pythonic", (("<|tool_list_start|>",), ("<|tool_call_start|>",))),
    ("qwen3_coder", (("<tool_call>\\n<function=",), ("<tool_call>\n<function=",))),
    ("kimi_k2", (("<|tool_calls_section_begin|>",),)),
    ("minicpm5", (('<function name="', '<param name="'),)),
    ("mistral", (("[TOOL_CALLS]",),)),
    ("muse_spark", (("<atem:function_calls>",),)),
    ("json_tools", (("<tool_call>", "tool_call.name"),)),
)
"""Parser and the sets of markers, one of which must be complete; the first that fits is taken."""
_XTML = {"<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"}
_THINKING = (
    {"<think>", "</think>"},
    {"<longcat_think>", "</longcat_think>"},
    {"<|think:start|>", "<|think:end|>"},
    {"<|channel>", "<channel|>"},
    _XTML,
)


def template_abilities(folder: Path) -> TemplateAbilities:
    """Render the folder's template in a sandbox and say what it can do.

    A template that does not compile or render has no abilities. Raises ModelError for a tokenizer
    file that is no JSON, and for a template without an end.
    """
    settings = _settings(folder)
    template = read_template(folder)
    vocabulary = _vocabulary(folder, settings)
    thinking = any(tokens <= vocabulary for tokens in _THINKING)
    if not template.get("default"):
        return TemplateAbilities(thinking=thinking)
    turn = {"role": "user", "content": f"{PROBE}_user"}
    first = {"role": "system", "content": f"{PROBE}_system"}

    def chat(*messages: Any, think: bool, tools: Any = None) -> dict[str, Any]:
        return {"messages": messages, "tools": tools, "enable_thinking": think}

    system, tools, on, off = render(
        folder,
        template,
        settings,
        [
            ("default", chat(first, turn, think=False)),
            (
                "tool_use" if "tool_use" in template else "default",
                chat(turn, think=thinking, tools=[_TOOL]),
            ),
            ("default", chat(turn, think=True)),
            ("default", chat(turn, think=False)),
        ],
    )
    if f"{PROBE}_user" not in (on if thinking else off):
        return TemplateAbilities(thinking=thinking)
    return TemplateAbilities(
        chat=True,
        system=f"{PROBE}_system" in system,
        tools=f"{PROBE}_tool" in tools,
        thinking=thinking,
        thinking_switch=on != off,
        parser=tool_parser(settings, template, vocabulary),
    )


def read_template(folder: Path) -> dict[str, str]:
    """The templates by name, usually one, `default`; a file of its own wins over the config."""
    more = sorted((folder / "additional_chat_templates").glob("*.jinja"))[:MAX_TEMPLATES]
    named = {path.stem: _text(path) for path in more}
    own = folder / "chat_template.jinja"
    if own.exists():
        return named | {"default": _text(own)}
    found: Any = _settings(folder).get("chat_template")
    if isinstance(found, str):
        return named | {"default": found}
    if isinstance(found, list):
        entries = cast("list[Any]", found)
        return {e["name"]: e["template"] for e in entries if {"name", "template"} <= e.keys()}
    return named


def tool_parser(
    settings: Mapping[str, Any], template: Mapping[str, str], vocabulary: Collection[str]
) -> str | None:
    """The parser that mlx_lm will choose: `tool_parser_type` if set, else by the markers."""
    chosen = settings.get("tool_parser_type")
    if isinstance(chosen, str):
        return chosen
    # mlx_lm looks into a template only where it is the only one.
    text = template.get("default", "") if len(template) == 1 else ""
    for parser, alternatives in PARSERS:
        if any(all(marker in text for marker in markers) for markers in alternatives):
            return parser
    tokens = set(vocabulary)
    if tokens >= _XTML:
        return "kimi_k3"
    return "pythonic" if {"<|tool_call_start|>", "<|tool_call_end|>"} <= tokens else None


def _text(path: Path) -> str:
    try:
        return read_regular(path, MIB).decode("utf-8", "replace")
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}", hint="check it") from error


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return read_json(path) if path.exists() else {}


def _vocabulary(folder: Path, settings: Mapping[str, Any]) -> set[str]:
    """Every token's text, as far as the files spell them out."""
    added = _mapping(settings.get("added_tokens_decoder"))
    tokens = {str(entry.get("content")) for entry in added.values()}
    path = folder / "tokenizer.json"
    if path.exists():
        tokenizer = read_json(path)
        listed: list[Any] = tokenizer.get("added_tokens") or []
        tokens |= {str(entry.get("content")) for entry in listed}
        tokens |= _mapping(_mapping(tokenizer.get("model")).get("vocab")).keys()
    return tokens


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}

"""Chat templates of every habit, and a model that has one."""
# pyright: reportUnknownMemberType=false
# tokenizers is only partly typed.

import json
import shutil
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

TURNS = """\
{%- for m in messages %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- endfor %}"""
ASK = "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"

THINKING = """\
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}
{%- endfor %}
{%- for m in messages %}
{%- if m.role == 'assistant' %}
{%- set said = m.content.split('</think>')[-1].lstrip('\\n') %}
{%- set thought = '' %}
{%- if '</think>' in m.content %}
{%- set thought = m.content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
{%- endif %}
{{- '<|im_start|>assistant\\n' }}
{%- if loop.index0 > ns.last and (loop.last or thought) %}
{{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}
{%- endif %}
{{- said + '<|im_end|>\\n' }}
{%- else %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}
{%- if not enable_thinking %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}"""
"""Earlier turns lose their reasoning; the last one always has a block for it."""

OPENS_THOUGHT = f"""{TURNS}
{{%- if add_generation_prompt %}}{{{{- '<|im_start|>assistant\\n<think>\\n' }}}}{{%- endif %}}"""
"""The prompt opens a block that rows do not have."""

MARKED = """\
{%- if messages[-1].role != 'assistant' %}{{- raise_exception('no answer') }}{%- endif %}
{%- for m in messages %}
{%- if m.content == 'zqstandsforananswerzq' %}{{- raise_exception('no') }}{%- endif %}
{%- if m.role == 'assistant' %}{{- '<|im_start|>assistant\\n' }}
{%- generation %}{{- m.content + '<|im_end|>' }}{%- endgeneration %}{{- '\\n' }}
{%- else %}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{%- endif %}
{%- endfor %}"""
"""Neither a prompt nor a stand-in is rendered; only its own marks tell."""

WHOLE_ONLY = (
    "{%- if messages[-1].role != 'assistant' %}{{- raise_exception('ends with a question') }}"
    "{%- endif %}" + TURNS
)
"""Renders no chat that ends with a question, and no prompt."""

NO_SYSTEM = (
    "{%- if messages[0].role == 'system' %}{{- raise_exception('System role not supported') }}"
    "{%- endif %}" + TURNS + ASK
)

TWO_STARTS = "{{- bos_token + bos_token }}" + TURNS + ASK

LLAMA = """\
{{- bos_token }}
{%- for m in messages %}
{{- '<|im_start|>' + m.role + '<|im_start|>\\n\\n' + m.content | trim + '<|im_end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant<|im_start|>\\n\\n' }}{%- endif %}"""
"""Two line breaks before the answer, none after it; only one end marker for every turn."""

MISTRAL = """\
{{- bos_token }}
{%- for m in messages %}
{%- if m.role == 'user' %}{{- '[INST] ' + m.content + ' [/INST]' }}
{%- elif m.role == 'assistant' %}{{- ' ' + m.content | trim + eos_token }}
{%- else %}{{- raise_exception('Only user and assistant roles are supported!') }}{%- endif %}
{%- endfor %}"""
"""No prompt for the answer, and questions without an end marker."""

NO_END = """\
{%- for m in messages %}{{- m.role + ': ' + m.content + '\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- 'assistant: ' }}{%- endif %}"""
"""No end marker; the space before the answer belongs to its first token."""

SPACED = """\
{%- for m in messages %}{{- m.role + ': ' + m.content + '<|im_end|>\\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{- 'assistant: ' }}{%- endif %}"""

ENDLESS = "{%- for a in range(99999) %}{%- for b in range(99999) %}{%- endfor %}{%- endfor %}"
GREEDY = """\
{%- set ns = namespace(held=['x' * 1000000]) %}
{%- for a in range(99999) %}{%- set ns.held = ns.held + ['x' * 10000000 + (a | string)] %}
{%- endfor %}"""
WORDY = "{%- for a in range(99999) %}{{- 'x' * 1000 }}{%- endfor %}"


def with_template(
    model: Path, folder: Path, template: str | None, *, tokens: tuple[str, ...] = (), **config: Any
) -> Path:
    """A copy of the model with another template, further tokens and other settings."""
    copy = folder / "model"
    shutil.copytree(model, copy)
    (copy / "chat_template.jinja").unlink()
    if template is not None:
        (copy / "chat_template.jinja").write_text(template, encoding="utf-8")
    if tokens:
        tokenizer = Tokenizer.from_file(str(copy / "tokenizer.json"))
        tokenizer.add_tokens([AddedToken(text, normalized=False) for text in tokens])
        tokenizer.save(str(copy / "tokenizer.json"))
    settings = copy / "tokenizer_config.json"
    known = json.loads(settings.read_text(encoding="utf-8"))
    settings.write_text(json.dumps(known | config), encoding="utf-8")
    return copy

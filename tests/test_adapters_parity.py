"""Parity: forms compared prompt by prompt, and the real command on the tiny model."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from made_adapter import make_adapter
from punie.adapters.fuse import base_of
from punie.adapters.parity import Against, Answer, Arm, Form, against
from punie.adapters.registry import find_adapter
from punie.backends.choose import BackendChoice
from punie.cli.parity_forms import forms_of
from synthetic_run import synthetic_report

SUITE = """
name: three
prompts:
  - {id: france, prompt: What is the capital of France?, expect: {keywords: [a]}}
  - {id: say, prompt: Say something, expect: {keywords: [e]}}
  - {id: count, prompt: Count to three, expect: {keywords: [o]}}
"""


def arm(form: Form, scores: dict[str, float | None], *, said: str = "") -> Arm:
    run = synthetic_report(6)[0].run
    answers = {
        name: Answer(
            prompt_hash=f"hash of {name}",
            score=score,
            passed=None if score is None else score == 1,
            said=said or f"{name} {score}",
            cluster=name,
        )
        for name, score in scores.items()
    }
    return Arm(form, form.value, run, answers)


def compared(first: dict[str, float | None], second: dict[str, float | None]) -> Against:
    return against(arm(Form.SERVED, first), arm(Form.FUSED, second))


def many(right: int, wrong: int) -> dict[str, float | None]:
    return {str(at): float(at < right) for at in range(right + wrong)}


def test_equal_answers_are_said_to_be_equal() -> None:
    found = compared(many(30, 10), many(30, 10))
    assert found.verdict == "same answers"
    assert not found.clearly_worse
    assert found.difference is not None
    assert found.difference.low < 0 == found.difference.value < found.difference.high


def test_other_words_with_the_same_scores() -> None:
    served = arm(Form.SERVED, many(3, 1))
    found = against(served, arm(Form.FUSED, many(3, 1), said="otherwise"))
    assert found.verdict == "same scores, 4 of 4 answers worded otherwise"


def test_flips_are_counted_each_way() -> None:
    served: dict[str, float | None] = {"a": 1.0, "b": 0.0, "c": 1.0, "d": 1.0}
    found = compared(served, {"a": 0.0, "b": 1.0, "c": 0.0, "d": 1.0})
    assert (found.lost, found.gained) == (("a", "c"), ("b",))
    assert found.verdict == "3 of 4 prompts differ: 2 lost, 1 gained; no clear difference"
    one = compared({"a": 1.0, "b": 0.5}, {"a": 1.0, "b": 0.75})
    assert one.verdict.startswith("1 of 2 prompts differs: 0 lost, 1 gained")


def test_what_is_clearly_worse() -> None:
    worse = compared(many(40, 0), many(28, 12))
    assert worse.clearly_worse
    assert worse.verdict.endswith("; clearly worse")
    assert compared(many(28, 12), many(40, 0)).verdict.endswith("; clearly better")


def test_what_cannot_be_paired_is_left_out() -> None:
    found = compared({"a": 1.0, "b": 1.0}, {"b": 0.0, "c": 0.0})
    assert found.compared == 1
    assert found.lost == ("b",)
    assert compared({"a": 1.0}, {"b": 1.0}).verdict == "no prompt was answered by both"
    unscored = compared({"a": None}, {"a": None})
    assert unscored.difference is None
    assert unscored.verdict == "same answers"
    served, other = arm(Form.SERVED, {"a": 1.0}), arm(Form.FUSED, {"a": 1.0})
    changed = {"a": Answer("another prompt", 1.0, passed=True, said="", cluster="a")}
    assert against(served, Arm(other.form, other.title, other.run, changed)).compared == 0


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Path:
    (tmp_path / "punie.toml").write_text("")
    (tmp_path / "three.yaml").write_text(SUITE)
    make_adapter(tiny_model, tmp_path / "adapters" / "mine")
    return tmp_path


def punie(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "punie", "adapters", *words]
    env = {**os.environ, "MLX_DISABLE_COMPILE": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        argv, cwd=project, env=env, capture_output=True, text=True, timeout=600, check=False
    )


def test_the_real_forms_through_a_real_suite(project: Path) -> None:
    only_mlx = ("--backend", "mlx", "--no-checks", "--json")
    done = punie(project, "parity", "mine", "three.yaml", *only_mlx)
    assert done.returncode == 0, done.stderr + done.stdout
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    assert {each["served_by"] for each in data["arms"]} == {"mlx"}
    base, served, fused, packed, plain = data["arms"]
    assert [base["form"], served["form"]] == ["base", "adapter"]
    assert "verdict" not in served
    assert fused["verdict"] == "same answers"
    assert fused["difference"]["n"] == 3
    assert packed["title"] == "fused (4-bit, group 64)"
    assert plain["title"] == "fused, Hugging Face (bfloat16)"
    assert base["reworded"] + len(base["lost"]) + len(base["gained"]) == 3
    assert not any((project / ".punie" / "parity").iterdir())
    shown = subprocess.run(
        [sys.executable, "-m", "punie", "runs", "list", "--json"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    runs = {run["id"]: run for run in json.loads(shown.stdout)["data"]}
    assert {each["run"] for each in data["arms"]} == runs.keys()
    assert runs[served["run"]]["model"]["adapter"] == "mine"
    assert runs[base["run"]]["model"]["adapter"] is None


@pytest.mark.parametrize("usual", ["mlx", "cuda"])
def test_each_backend_that_is_there_has_its_forms(
    project: Path, tiny_model: Path, usual: str
) -> None:
    pytest.importorskip("bitsandbytes")
    entry = find_adapter(project, "mine")
    base = base_of(entry, project, str(tiny_model), how=BackendChoice(backend="mlx"))
    # mlx alone compares what is merged: it starts faster.
    base = replace(base, how=BackendChoice(backend=usual))
    elsewhere = "cuda" if usual == "mlx" else "mlx"
    asked, unmade = forms_of(project / "made", entry, base, only=None, quiet=True)
    assert unmade == []
    assert [(each.form, each.backend, each.quantization) for each in asked] == [
        (Form.BASE, usual, "none"),
        (Form.SERVED, usual, "none"),
        (Form.ELSEWHERE, elsewhere, "none"),
        (Form.LOADED_PACKED, "cuda", "4bit"),
        (Form.FUSED, "mlx", "none"),
        (Form.PACKED, "mlx", "none"),
        (Form.PLAIN, "cuda", "none"),
    ]


def test_the_real_forms_on_cuda(project: Path) -> None:
    pytest.importorskip("bitsandbytes")
    (project / "one.yaml").write_text("\n".join(SUITE.splitlines()[:4]) + "\n")
    only_cuda = ("--backend", "cuda", "--no-checks", "--json")
    done = punie(project, "parity", "mine", "one.yaml", *only_cuda)
    assert done.returncode in {0, 3}, done.stderr + done.stdout  # as one prompt of noise comes out
    arms: list[dict[str, Any]] = json.loads(done.stdout)["data"]["arms"]
    cpu = "cuda (transformers), on the CPU"
    assert [(each["form"], each["served_by"]) for each in arms] == [
        ("base", cpu),
        ("adapter", cpu),
        (
            "adapter, packed while loading",
            "cuda (transformers), NF4 computed in float32, on the CPU",
        ),
        ("fused, Hugging Face", cpu),
    ]
    assert all(each["faults"] == 0 for each in arms)


def test_what_a_backend_cannot_do_is_said_and_not_shown(project: Path, tiny_model: Path) -> None:
    pytest.importorskip("bitsandbytes")
    make_adapter(tiny_model, project / "adapters" / "dora", kind="dora")
    (project / "one.yaml").write_text("\n".join(SUITE.splitlines()[:4]) + "\n")
    done = punie(project, "parity", "dora", "one.yaml", "--no-checks", "--json")
    assert done.returncode in {1, 3}, done.stderr + done.stdout
    said = json.loads(done.stdout)
    shown = [each["served_by"] for each in said["data"]["arms"] if each["form"] != "fused"]
    told = [line for line in said["warnings"] if "is not measured" in line]
    assert shown[:2] == ["mlx", "mlx"]
    assert len(told) == 2
    assert all("dora" in line.lower() for line in told)


def test_a_suite_must_be_known(project: Path) -> None:
    done = punie(project, "parity", "mine")
    assert done.returncode == 2
    assert "names no suite of its own" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("three.yaml", "--also", "gone.gguf"), 5, "no file or folder gone.gguf"),
        (("gone.yaml",), 2, "gone.yaml"),
        (("three.yaml", "--model", "./gone"), 5, "no file or folder ./gone"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_made(
    project: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = punie(project, "parity", "mine", *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert not (project / ".punie").exists()

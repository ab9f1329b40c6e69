"""Encoding on a machine without mlx: the same tokens, and a note of what was left out."""

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from chat_templates import with_template
from encoded_rows import LONG, SHORT, encoded, job_of
from punie.backends.encoding import encode, encoding_file
from punie.backends.workers.plain_tokenizer import PlainTokenizer
from punie.errors import ModelError
from punie.records.dataset import Row
from punie.records.encoding import EncodeJob, Encoding, RowProblemKind

WITHOUT_MLX = """
import runpy, sys
sys.modules["mlx"] = sys.modules["mlx_lm"] = None  # as if they were not installed
runpy.run_module("punie.backends.workers.encode", run_name="__main__")
"""
THINKS = """\
{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
{%- if enable_thinking is defined %}{{- 'thinks: ' ~ enable_thinking }}{%- endif %}"""
MARKS = """\
{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' }}
{%- if m.role == 'assistant' %}{% generation %}{{- 'says ' + m.content + '<|im_end|>' }}
{%- endgeneration %}{% else %}{{- m.content + '<|im_end|>' }}{% endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>model\n' }}{%- endif %}"""


async def without_mlx(job: EncodeJob) -> Encoding:
    """What the worker makes of the job where neither mlx nor mlx_lm can be imported."""
    order = job.output.with_name("job.json")
    order.write_text(job.model_dump_json(), encoding="utf-8")
    argv = [sys.executable, "-c", WITHOUT_MLX, order]
    await asyncio.to_thread(subprocess.run, argv, check=True, timeout=60)
    return Encoding.model_validate_json(encoding_file(job).read_bytes())


@pytest.mark.parametrize(
    ("template", "tokens"),
    [("", ()), (MARKS, ()), (THINKS, ()), (THINKS, ("<think>", "</think>"))],
    ids=["calls", "marks", "silent", "thinks"],
)
async def test_the_tokens_are_those_that_mlx_lm_gives(
    tiny_model: Path, tmp_path: Path, template: str, tokens: tuple[str, ...]
) -> None:
    rows = (SHORT, LONG, Row(text="A plain text.", file="train.jsonl", line=3))
    model = tiny_model
    if template:
        model = with_template(tiny_model, tmp_path, template, tokens=tokens)
    got = await encoded(model, tmp_path, *rows)
    plain = tmp_path / "plain"
    plain.mkdir()
    alone = await without_mlx(job_of(plain, model, rows))
    assert (alone.hash, alone.splits) == (got.encoding.hash, got.encoding.splits)
    assert alone.example == got.encoding.example


async def test_what_no_parser_read_is_noted(tiny_model: Path, tmp_path: Path) -> None:
    job = job_of(tmp_path, tiny_model, (LONG,))
    assert (await encode(job)).notes == ()
    alone = await without_mlx(job)
    assert alone.parser is None
    assert "mlx_lm is not installed" in alone.notes[0]
    # Punie's own reader, in the process above the worker, looks at the calls instead.
    assert RowProblemKind.LOST_CALL not in {each.kind for each in alone.problems}


async def test_encoding_asks_for_transformers_alone(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = importlib.util.find_spec
    missing: set[str] = {"mlx", "mlx_lm"}
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, package=None: None if name in missing else there(name, package),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    )
    job = job_of(tmp_path, tiny_model, (SHORT,))
    assert (await encode(job)).hash
    missing.add("transformers")
    with pytest.raises(ModelError, match="transformers, which is not installed"):
        await encode(job)


def test_a_template_that_only_mlx_lm_has_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    model = with_template(tiny_model, tmp_path, None, chat_template_type="deepseek_v32")
    with pytest.raises(ValueError, match="mlx_lm's deepseek_v32, and mlx_lm is not installed"):
        PlainTokenizer(model)

"""Templates that do not end, workers that die, models and folders that do not work."""

import asyncio
from pathlib import Path

import pytest
from psutil import NoSuchProcess, Process

import chat_templates
from chat_templates import with_template
from encoded_rows import SHORT, chat, job_of, say
from punie.backends.encoding import encode
from punie.errors import ModelError, StoreError
from punie.records.dataset import Split


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (chat_templates.ENDLESS, "more than 5 s of processor time"),
        (chat_templates.GREEDY, "more memory than a template needs"),
        (chat_templates.WORDY, "writes more than 32,000,000 characters"),
    ],
)
async def test_a_template_without_an_end_ends(
    tiny_model: Path, tmp_path: Path, template: str, what: str
):
    model = with_template(tiny_model, tmp_path, template)
    with pytest.raises(ModelError, match=f"its chat template .*{what}, at train.jsonl:1"):
        await encode(job_of(tmp_path, model, [SHORT]))
    assert not workers()
    assert names_in(tmp_path) == {"model", "rows.jsonl"}


async def test_an_encoding_that_is_given_up_leaves_nothing_running(
    tiny_model: Path, tmp_path: Path
):
    model = with_template(tiny_model, tmp_path, chat_templates.ENDLESS)
    task = asyncio.create_task(encode(job_of(tmp_path, model, [SHORT])))
    await worker()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not workers()


async def test_a_worker_that_dies_is_named_with_its_signal(tiny_model: Path, tmp_path: Path):
    model = with_template(tiny_model, tmp_path, chat_templates.ENDLESS)
    task = asyncio.create_task(encode(job_of(tmp_path, model, [SHORT])))
    (await worker()).kill()
    with pytest.raises(ModelError, match="ended by signal 9"):
        await task


async def test_models_that_cannot_encode_and_folders_that_cannot_be_written(
    tiny_model: Path, tmp_path: Path
):
    model = with_template(tiny_model, tmp_path, None)
    with pytest.raises(ModelError, match="no chat template, and there are rows with messages"):
        await encode(job_of(tmp_path, model, [SHORT]))
    (model / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="its tokenizer cannot be loaded"):
        await encode(job_of(tmp_path, model, [SHORT]))
    job = job_of(tmp_path, tiny_model, [SHORT])
    nowhere = job.model_copy(update={"output": tmp_path / "nowhere" / "rows.safetensors"})
    with pytest.raises(StoreError, match="No such file or directory"):
        await encode(nowhere)


async def test_progress_comes_while_rows_are_encoded(tiny_model: Path, tmp_path: Path):
    told: list[int] = []
    rows = [chat(say("user", f"Say {n}."), say("assistant", f"{n}")) for n in range(600)]
    encoding = await encode(job_of(tmp_path, tiny_model, rows), on_progress=told.append)
    assert told == sorted(told)
    assert 0 < told[-1] <= 600
    assert len(encoding.splits[Split.TRAIN].lengths) == 600


def workers() -> list[Process]:
    """The encoding workers that this test started."""
    found: list[Process] = []
    for child in Process().children(recursive=True):
        try:
            if "punie.backends.workers.encode" in child.cmdline()[:5] and child.is_running():
                found.append(child)
        except NoSuchProcess:
            continue
    return found


async def worker() -> Process:
    """The worker, once it runs."""
    while not (found := workers()):  # noqa: ASYNC110 - nobody tells when a process has begun
        await asyncio.sleep(0.02)
    return found[0]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}

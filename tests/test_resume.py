"""`punie eval --resume`: asks what is owed, and nothing that would make it another measurement."""

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import JsonValue

from fake_server import Behaviour, FakeServer, SeenRequest
from punie.analysis.parts import EARLIER
from punie.cli.eval import exit_code
from punie.cli.main import cli
from punie.cli.measure import Measured, measure
from punie.cli.wish import Wish
from punie.errors import InputError, StoreError
from punie.records.result import FaultKind
from punie.records.run import Run, RunStatus
from punie.records.trust import Finding, IncidentKind, Level
from punie.reporting.soundness import soundness
from punie.settings import load_settings
from punie.store.runs import RunStore

SUITE = """
name: mini
prompts:
  - {id: one, category: letters, prompt: A, expect: {exact: A}}
  - {id: two, category: letters, prompt: B, expect: {exact: wrong}}
  - {id: three, category: numbers, prompt: "7", expect: {number: 7}}
  - {id: four, category: numbers, prompt: "8", expect: {number: 8}}
"""
REFUSING = Behaviour(fault="status", status=400)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one suite, as the working folder."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "mini.yaml").write_text(SUITE)
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return root


class Flaky(FakeServer):
    """Answers the check before a run, and then refuses the questions that are named."""

    def __init__(self, *refused: str) -> None:
        super().__init__(log=self._see)
        self.refused = set(refused)
        self.asked: list[str] = []
        self.keys: set[str | None] = set()
        self.busy = asyncio.Event()
        self.hear: Callable[[str], object] = str

    def _see(self, request: SeenRequest) -> None:
        self.keys.add(request.credential)
        if not request.path.endswith("/chat/completions"):
            return
        question = request.body["messages"][-1]["content"]
        self.asked.append(question)
        self.hear(question)
        if len(self.asked) > 2:
            self.busy.set()
        self.behaviour = REFUSING if question in self.refused else Behaviour()

    @property
    def questions(self) -> list[str]:
        """What was asked since the last look, without the check before a run."""
        asked, self.asked = self.asked[1:], []
        return sorted(asked)


async def evaluate(folder: Path, **words: Any) -> Measured:
    flags: dict[str, Any] = {"quiet": True, "concurrency": 1, **words}
    # Without self-checks: what is counted here is what the suite asks.
    return await measure(Wish(**flags), load_settings(folder, {"PUNIE_CHECKS": "false"}))


async def a_run(folder: Path, server: FakeServer, **words: Any) -> Measured:
    return await evaluate(folder, suite="mini.yaml", url=server.url, model="m", **words)


async def again(folder: Path, reference: str = "last", **words: Any) -> Measured:
    return await evaluate(folder, resume=reference, **words)


def head(folder: Path) -> Run:
    with RunStore(folder) as store:
        return store.find("last")


def rounds(folder: Path) -> dict[str, list[int]]:
    with closing(sqlite3.connect(folder / ".punie" / "punie.db")) as db:
        rows = db.execute("SELECT prompt_id, round FROM outcomes ORDER BY 1, 2").fetchall()
    return {name: [number for each, number in rows if each == name] for name, _ in rows}


async def test_only_faults_are_asked_again_and_the_summary_stands_for_all(folder: Path) -> None:
    async with Flaky("A", "7") as server:
        first = await a_run(folder, server)
        assert first.report.summary.faults == 2
        assert exit_code(first) == 1
        resume = f"punie eval --resume {first.report.run.id} --url {server.url}"
        assert first.as_json()["resume"] == resume
        assert server.questions == ["7", "8", "A", "B"]
        server.refused = {"7"}
        second = await again(folder, first.report.run.id)
        assert server.questions == ["7", "A"]
        assert second.report.summary.faults == 1
        assert second.report.run.id == first.report.run.id
        server.refused = set()
        third = await again(folder)
        assert server.questions == ["7"]
    assert exit_code(third) == 0
    assert third.as_json()["resume"] is None
    summary = third.report.summary
    assert (summary.prompts, summary.answered, summary.faults) == (4, 4, 0)
    assert summary.score is not None
    assert summary.score.value == 0.75
    assert first.report.summary.wall_s < second.report.summary.wall_s < summary.wall_s
    assert rounds(folder) == {"one": [1, 2], "two": [1], "three": [1, 2, 3], "four": [1]}
    kept = head(folder)
    assert kept.status is RunStatus.DONE
    assert [each.kind for each in kept.incidents] == [IncidentKind.RESUMED] * 2
    assert kept.provenance == first.report.run.provenance
    assert "2 questions" in kept.incidents[0].what


async def test_a_complete_run_says_so_and_asks_nothing(folder: Path) -> None:
    async with Flaky() as server:
        first = await a_run(folder, server)
        assert len(server.questions) == 4
        done = await again(folder)
        assert server.questions == []
    assert exit_code(done) == 0
    assert any("complete" in line for line in done.warnings)
    assert done.report.run == first.report.run


async def test_the_gate_of_a_complete_run_stays_closed(folder: Path) -> None:
    suite = SUITE.replace("category: letters, prompt: B", "must_pass: true, prompt: B")
    (folder / "mini.yaml").write_text(suite)
    async with Flaky() as server:
        assert exit_code(await a_run(folder, server)) == 3
        assert exit_code(await again(folder)) == 3


async def test_a_run_that_was_killed_after_its_last_answer_is_only_finished(folder: Path) -> None:
    async with Flaky() as server:
        output = folder / "out.jsonl"
        first = await a_run(folder, server, output=output)
        server.asked.clear()
        run = first.report.run
        with RunStore(folder) as store:
            store.update(run.model_copy(update={"status": RunStatus.RUNNING, "summary": None}))
        first.report_html.unlink()
        output.write_text('{"run": "torn')
        done = await again(folder)
        assert server.asked == []
    assert first.report_html.exists()
    assert len([json.loads(line) for line in output.read_text().splitlines()]) == 4
    assert not any("complete" in line for line in done.warnings)
    assert head(folder).status is RunStatus.DONE
    assert done.report.summary.score == first.report.summary.score


async def test_a_kill_after_the_last_answer_keeps_wall_time_and_cost(folder: Path) -> None:
    async with Flaky("A") as server:
        endpoint = f'url = "{server.url}"\nmodel = "m"\nprice_input = 9.0\nprice_output = 9.0\n'
        (folder / "punie.toml").write_text(f"[endpoints.lab]\n{endpoint}")
        first = await evaluate(folder, suite="mini.yaml", url="lab")
        server.refused = set()
        whole = (await again(folder)).report.summary
        assert whole.cost
        with RunStore(folder) as store:  # as after a kill in the second part
            earlier = first.report.summary
            store.update(
                head(folder).model_copy(update={"status": RunStatus.RUNNING, "summary": earlier})
            )
        settled = head(folder).summary
        assert settled is not None
        done = (await again(folder)).report.summary
    assert done == settled
    assert earlier.wall_s < done.wall_s <= whole.wall_s
    assert done.cost == whole.cost


async def test_a_run_that_is_killed_while_its_lock_is_waited_for_is_settled_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Flaky("A") as server:
        first = await a_run(folder, server)
        server.refused = set()
        done = (await again(folder)).report
        killed = done.run.model_copy(
            update={"status": RunStatus.RUNNING, "summary": first.report.summary}
        )
        with RunStore(folder) as store:
            require_room = RunStore.require_room

            def dies_meanwhile(opened: RunStore) -> None:
                require_room(opened)
                store.update(killed)

            monkeypatch.setattr(RunStore, "require_room", dies_meanwhile)
            summary = (await again(folder)).report.summary
    assert summary.answered == 4
    assert head(folder).incidents[-1].kind is IncidentKind.KILLED


async def test_repeats_sampling_and_selection_come_from_the_run(folder: Path) -> None:
    async with Flaky("8") as server:
        words = {"repeats": 2, "temperature": 0.5, "max_tokens": 9, "category": "numbers"}
        first = await a_run(folder, server, **words, seed=3)
        assert server.questions == ["7", "7", "8", "8"]
        server.refused = set()
        (folder / "punie.toml").write_text("[sampling]\ntemperature = 1.5\n")
        done = await again(folder, concurrency=2)
    assert server.questions == ["8", "8"]
    assert done.report.run.sampling == first.report.run.sampling
    assert done.report.run.concurrency == 2
    assert done.report.summary.answered == 4


async def test_flags_that_say_the_same_again_do_no_harm(folder: Path) -> None:
    async with Flaky("A") as server:
        words: dict[str, Any] = {"temperature": 0.5, "repeats": 2, "sample": 3, "seed": 1}
        await a_run(folder, server, **words)
        server.refused = set()
        done = await a_run(folder, server, **words, resume="last", tools="auto", backend="auto")
    assert done.report.summary.answered == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"temperature": 1.0}, "--temperature: 0.0 → 1.0"),
        ({"repeats": 3}, "--repeats: 1 → 3"),
        ({"max_tokens": 7}, "--max-tokens: 512 → 7"),
        ({"category": "letters"}, "--category: none → letters"),
        ({"sample": 2}, "--sample: none → 2"),
        ({"seed": 2}, "--seed: none → 2"),
        ({"model": "other"}, "--model: m → other"),
        ({"url": "http://127.0.0.1:1/v1"}, "--url: http"),
        ({"backend": "mlx"}, "--backend: endpoint → mlx"),
        ({"adapter": Path("lora")}, "--adapter: none → lora"),
        ({"tools": "prompt"}, "--tools: native → prompt"),
        ({"suite": "quick"}, "suite mini: "),
    ],
)
async def test_flags_that_contradict_are_refused(
    folder: Path, words: dict[str, Any], said: str
) -> None:
    async with Flaky("A") as server:
        first = await a_run(folder, server)
        server.asked.clear()
        with pytest.raises(InputError) as caught:
            await again(folder, **words)
        assert server.asked == []
    assert said in caught.value.message
    assert first.report.run.id in caught.value.message
    assert "new run" in caught.value.hint
    assert head(folder) == first.report.run


async def test_every_difference_is_named_at_once(folder: Path) -> None:
    async with Flaky("A") as server:
        await a_run(folder, server)
        (folder / "mini.yaml").write_text(SUITE.replace("prompt: A", "prompt: Z"))
        with pytest.raises(InputError) as caught:
            await again(folder, repeats=2)
    assert "--repeats: 1 → 2" in caught.value.message
    line = next(each for each in caught.value.message.splitlines() if "suite mini" in each)
    before, _, after = line.partition(": ")[2].partition(" → ")
    assert (len(before), len(after)) == (12, 12)
    assert before != after


async def test_a_suite_that_is_gone_is_asked_from_the_store(folder: Path) -> None:
    async with Flaky("A") as server:
        await a_run(folder, server)
        (folder / "mini.yaml").unlink()
        server.refused = set()
        server.asked.clear()
        done = await again(folder)
        assert server.questions == ["A"]
    assert done.report.summary.faults == 0


@pytest.mark.parametrize(("was", "is_now"), [('"7"', '"EASY"'), ('"value":7', '"value":1')])
async def test_a_kept_prompt_that_was_changed_is_not_asked(
    folder: Path, was: str, is_now: str
) -> None:
    async with Flaky("7") as server:
        first = await a_run(folder, server)
        with closing(sqlite3.connect(folder / ".punie" / "punie.db")) as db, db:
            db.execute(
                "UPDATE prompts SET body = replace(body, ?, ?) WHERE id = 'three'", (was, is_now)
            )
        server.asked.clear()
        with pytest.raises(StoreError, match="three"):
            await again(folder)
        assert server.asked == []
    assert head(folder) == first.report.run


async def test_another_folder_resumes_as_well(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Flaky("A") as server:
        await a_run(folder, server, output=Path("out.csv"))
        server.refused = set()
        (folder / "deep").mkdir()
        monkeypatch.chdir(folder / "deep")
        done = await again(folder)
    assert done.report.summary.faults == 0
    assert "fault" not in (folder / "out.csv").read_text().split("\n", 1)[1]


async def two_parts(folder: Path, server: Flaky, *, first: bool, second: bool) -> Run:
    """The run whose two parts, of which the second asks one question, had self-checks or not."""
    await a_run(folder, server, checks=first)
    forget(folder, "two")
    return (await again(folder, checks=second)).report.run


@pytest.mark.parametrize(("first", "second"), [(False, True), (True, False)])
async def test_a_part_without_checks_keeps_its_mark(
    folder: Path, *, first: bool, second: bool
) -> None:
    async with Flaky() as server:
        run = await two_parts(folder, server, first=first, second=second)
    assert run.checks is not None
    assert run.summary is not None
    assert run.checks.skipped
    assert run.checks.partly
    assert run.checks.seconds > 0
    assert "seed" in {each.name for each in run.checks.findings}
    level, sentence = soundness(run, run.summary)
    assert level == "care"
    assert "no self-checks were made for a part of the answers" in sentence
    assert head(folder) == run


async def test_parts_that_had_the_same_checks_are_not_told_apart(folder: Path) -> None:
    async with Flaky() as server:
        run = await two_parts(folder, server, first=True, second=True)
        assert run.checks is not None
        assert run.summary is not None
        assert soundness(run, run.summary).sentence.startswith("Sound: ")
        assert not any(EARLIER in each.sentence for each in run.checks.findings)
        run = await two_parts(folder, server, first=False, second=False)
    assert run.checks is not None
    assert run.checks.skipped
    assert not run.checks.partly


async def test_a_part_that_kept_no_answer_leaves_no_mark(folder: Path) -> None:
    async with Flaky("A", "B", "7", "8") as server:
        await a_run(folder, server, checks=False)
        server.refused = set()
        run = (await again(folder, checks=True)).report.run
    assert run.checks is not None
    assert not run.checks.skipped


async def test_a_warning_of_an_earlier_part_stays(folder: Path) -> None:
    async with Flaky() as server:
        first = (await a_run(folder, server, checks=True)).report.run
        assert first.checks is not None
        warning = Finding(name="seed", level=Level.WARNING, sentence="Answers differ.")
        others = tuple(each for each in first.checks.findings if each.name != "seed")
        checks = first.checks.model_copy(update={"findings": (*others, warning), "seconds": 100.0})
        with RunStore(folder) as store:
            store.update(first.model_copy(update={"checks": checks}))
        for _ in range(2):
            forget(folder, "two")
            await again(folder, checks=True)
    run = head(folder)
    assert run.checks is not None
    assert run.checks.seconds > 100
    assert not run.checks.skipped
    (seed,) = (each for each in run.checks.findings if each.name == "seed")
    assert seed.level is Level.WARNING
    assert seed.sentence == f"{EARLIER}Answers differ."
    assert len({each.name for each in run.checks.findings}) == len(run.checks.findings)


async def test_memory_is_looked_at_for_all_repeats_of_a_resumed_run(
    folder: Path, tiny_model: Path
) -> None:
    words = {"suite": "mini.yaml", "model": str(tiny_model), "max_tokens": 3, "concurrency": 8}
    seen: list[JsonValue] = []
    for repeats, resumed in ((3, False), (3, True), (1, False)):
        if resumed:
            forget(folder, "two")
            measured = await again(folder, concurrency=8, checks=False)
        else:
            measured = await evaluate(folder, **words, repeats=repeats, checks=False)
        checks = measured.report.run.checks
        assert checks is not None
        (memory,) = (each for each in checks.findings if each.name == "memory")
        seen.append(memory.details["kv_cache_bytes"])
    assert seen[0] == seen[1] != seen[2]


async def test_results_outside_of_the_project_are_written_only_when_named_again(
    folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.json"
    async with Flaky("A", "7") as server:
        first = await a_run(folder, server, output=output)
        (folder / "link").symlink_to(tmp_path)
        linked = folder / "link" / "linked.json"
        (tmp_path / "linked.json").write_text("precious")
        output.write_text("precious")
        server.refused = {"7"}
        done = await again(folder)
        assert output.read_text() == "precious"
        assert done.output is None
        assert any(
            f"runs export {done.report.run.id} --output {output}" in w for w in done.warnings
        )
        assert first.report.run.sources is not None
        sources = first.report.run.sources.model_copy(update={"output": str(linked)})
        with RunStore(folder) as store:
            store.update(head(folder).model_copy(update={"sources": sources}))
        server.refused = set()
        await again(folder)
        assert linked.read_text() == "precious"
        await again(folder, output=output)
    assert len(json.loads(output.read_text())["outcomes"]) == 4


async def test_a_key_goes_to_an_address_only_where_it_is_named_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    async with Flaky("A") as server, Flaky() as elsewhere:
        first = (await a_run(folder, server)).report.run
        monkeypatch.setenv("OPENAI_API_KEY", "canary")
        assert first.sources is not None
        edited = first.model_copy(
            update={"sources": first.sources.model_copy(update={"url": elsewhere.url})}
        )
        with RunStore(folder) as store:
            store.update(edited)
        with pytest.raises(InputError, match="would send OPENAI_API_KEY") as caught:
            await again(folder)
        assert f"--resume {first.id} --url {elsewhere.url}" in caught.value.hint
        # What is typed counts, not what the database makes of it.
        server.keys.clear()
        with pytest.raises(InputError, match="--url"):
            await again(folder, url="http://127.0.0.1:1/v1")
        assert (await again(folder, url=server.url)).report.summary.faults == 1
        assert server.keys == {"wrong"}, "sent, though this server asks for none"
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with pytest.raises(InputError, match="would send OPENAI_API_KEY"):
            await again(folder)
        assert elsewhere.keys == set()
        with RunStore(folder) as store:
            store.update(head(folder).model_copy(update={"sources": first.sources}))
        server.refused = set()
        assert (await again(folder)).report.summary.faults == 0
        # Where nothing is asked, no key is sent.
        monkeypatch.delenv("OPENAI_BASE_URL")
        assert (await again(folder)).report.summary.faults == 0


def changed(**fields: str) -> Callable[[Run], Run]:
    def change(run: Run) -> Run:
        return run.model_copy(update={"model": run.model.model_copy(update=fields)})

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(model_hash="a" * 64), f"model: {'a' * 12} → none"),
        (changed(template_hash="b" * 64), f"chat template: {'b' * 12} → none"),
        (changed(adapter_hash="c" * 64), f"adapter: {'c' * 12} → none"),
        (changed(url="http://elsewhere/v1"), "address: http://elsewhere/v1 → "),
    ],
)
async def test_another_model_than_that_of_the_run_is_refused(
    folder: Path, change: Callable[[Run], Run], said: str
) -> None:
    async with Flaky("A") as server:
        first = await a_run(folder, server)
        was = change(first.report.run)
        with RunStore(folder) as store:
            store.update(was)
        server.asked.clear()
        with pytest.raises(InputError) as caught:
            await again(folder)
        assert server.questions == [], "only the check was asked"
    assert said in caught.value.message
    assert head(folder) == was


async def test_a_run_that_was_not_made_by_eval_is_refused(folder: Path) -> None:
    async with Flaky("A") as server:
        first = await a_run(folder, server)
        with RunStore(folder) as store:
            store.update(first.report.run.model_copy(update={"sources": None}))
        with pytest.raises(InputError, match="not made by punie eval"):
            await again(folder)


async def test_a_run_that_is_at_work_is_not_resumed(folder: Path) -> None:
    async with Flaky("A") as server:
        first = await a_run(folder, server)
        with RunStore(folder) as store, store.lock(first.report.run.id):
            with pytest.raises(InputError, match="still running in process"):
                await again(folder)
            deleted = CliRunner().invoke(cli, ["runs", "delete", "last", "--yes"])
            assert isinstance(deleted.exception, InputError)
        assert head(folder) == first.report.run


async def test_a_goal_is_kept_until_the_run_is_complete(folder: Path) -> None:
    async with Flaky() as server:
        first = await a_run(folder, server, journal="A first look")
        run = first.report.run
        assert first.entry is not None
        shutil.rmtree(folder / "journal")
        with RunStore(folder) as store:  # as after a kill
            store.update(run.model_copy(update={"status": RunStatus.RUNNING, "summary": None}))
        done = await again(folder)
        assert done.entry is not None
        once_more = await again(folder)
        assert once_more.entry == done.entry
    assert len(list((folder / "journal").glob("*/*/*/entry.md"))) == 1
    record = (done.entry / "run.json").read_text()
    assert "sources" not in record
    assert str(folder.parent) not in record
    assert CliRunner().invoke(cli, ["journal", "check"]).exit_code == 0


async def test_an_entry_that_a_resumed_run_outdates_is_named(folder: Path) -> None:
    async with Flaky("A") as server:
        first = await a_run(folder, server, journal="A first look")
        assert first.entry is not None
        server.refused = set()
        done = await again(folder)
    assert done.entry == first.entry
    assert any(f"--supersedes {first.entry.name}" in line for line in done.warnings)


async def test_an_interrupted_run_says_how_to_go_on(folder: Path) -> None:
    async with Flaky() as server:
        server.behaviour = replace(Behaviour(), first_token_s=0.05)
        task = asyncio.create_task(a_run(folder, server))
        await server.busy.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        run = head(folder)
        assert run.status is RunStatus.INTERRUPTED
        assert run.summary is not None
        server.asked.clear()
        done = await again(folder)
        assert len(server.questions) == 4 - run.summary.answered
    assert done.report.run.status is RunStatus.DONE
    assert done.report.summary.answered == 4


async def test_a_store_that_fails_in_the_middle_leaves_a_run_to_resume(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Flaky() as server:
        add, kept = RunStore.add, 0

        def full(store: RunStore, run_id: str, outcomes: Any) -> None:
            nonlocal kept
            if kept == 2:
                raise StoreError("database or disk is full", hint="free some disk space")
            kept += 1
            add(store, run_id, outcomes)

        monkeypatch.setattr(RunStore, "add", full)
        with pytest.raises(StoreError) as caught:
            await a_run(folder, server)
        assert f"punie eval --resume {head(folder).id}" in caught.value.hint
        assert "free some disk space" in caught.value.hint
        monkeypatch.undo()
        assert head(folder).status is RunStatus.FAILED
        done = await again(folder)
    assert done.report.summary.answered == 4
    assert FaultKind.TIMEOUT.value not in done.report.summary.fault_kinds


async def test_a_local_model_is_found_again_and_known_by_its_hashes(
    folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model, folder / "model")
    words = {"suite": "mini.yaml", "model": "model", "max_tokens": 3, "checks": False}
    first = (await evaluate(folder, **words)).report.run
    assert first.sources is not None
    assert first.sources.model == "~/project/model"
    forget(folder, "two")
    (folder / "deep").mkdir()
    monkeypatch.chdir(folder / "deep")
    (folder / "punie.toml").write_text('model = "other"\nadapter = "lora"\n')
    done = await again(folder, checks=False)
    assert done.report.summary.answered == 4
    assert done.report.run.model == first.model
    forget(folder, "two")
    template = folder / "model" / "chat_template.jinja"
    settings = folder / "model" / "tokenizer_config.json"
    kept = json.loads(settings.read_text())
    text = template.read_text() if template.exists() else kept.pop("chat_template")
    settings.write_text(json.dumps(kept))
    template.write_text(f"{text}{{# changed #}}")
    with pytest.raises(InputError, match="chat template: ") as caught:
        await again(folder, checks=False)
    assert "\n  model: " in caught.value.message


def forget(folder: Path, prompt: str) -> None:
    """Make a run owe one answer, as if it had been killed before."""
    run = head(folder).model_copy(update={"status": RunStatus.INTERRUPTED})
    with RunStore(folder) as store:
        store.update(run)
        with closing(sqlite3.connect(store.path)) as db, db:
            db.execute("DELETE FROM outcomes WHERE prompt_id = ?", (prompt,))

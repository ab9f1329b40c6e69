"""`punie eval --against RUN`: what is taken over, refused, found again, and when it ends."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fake_server import Behaviour, FakeServer, SeenRequest
from punie.cli.against import Contest, measure_against
from punie.cli.against_command import code_of
from punie.cli.against_plan import Aim
from punie.cli.main import cli
from punie.cli.measure import Measured, measure
from punie.cli.wish import Wish
from punie.errors import InputError, PunieError
from punie.records.comparison import Word
from punie.records.run import Run, RunStatus
from punie.settings import Loaded, load_settings
from punie.store.runs import RunStore

PROMPTS = 24
REFUSING = Behaviour(fault="status", status=400)


def suite_text(prompts: int = PROMPTS, *, name: str = "mini", extra: str = "") -> str:
    """Prompts that the fake server answers rightly by repeating them."""
    lines = [
        f"  - {{id: p{i}, category: {'ab'[i % 2]}, prompt: q{i}, expect: {{exact: q{i}}}}}"
        for i in range(prompts)
    ]
    return "\n".join([f"name: {name}", extra or "version: 1", "prompts:", *lines, ""])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one suite, as the working folder."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "mini.yaml").write_text(suite_text())
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return root


class Asked(FakeServer):
    """Repeats what it is asked, or is wrong where it is told to; remembers the chats of the run."""

    def __init__(self, *, wrong: int = 0, refused: set[str] | None = None) -> None:
        answers = {f"q{i}": "wrong" for i in range(wrong)}
        super().__init__(log=self._see, answers=answers)
        self.bodies: list[dict[str, Any]] = []
        self.refused = refused or set()

    def _see(self, request: SeenRequest) -> None:
        if request.path.endswith("/chat/completions"):
            self.bodies.append(request.body)
            asked = request.body["messages"][-1]["content"]
            self.behaviour = REFUSING if asked in self.refused else Behaviour()

    @property
    def questions(self) -> list[str]:
        """What was asked since the last look, without the check before a run."""
        asked = [body["messages"][-1]["content"] for body in self.bodies[1:]]
        self.bodies.clear()
        return asked


def settings(folder: Path) -> Loaded:
    # Without self-checks: what is counted here is what the suite asks.
    return load_settings(folder, {"PUNIE_CHECKS": "false"})


async def a_run(folder: Path, server: FakeServer, **words: Any) -> Measured:
    flags: dict[str, Any] = {"suite": "mini.yaml", "concurrency": 1, "quiet": True, **words}
    return await measure(Wish(url=server.url, model="old", **flags), settings(folder))


async def contest(
    folder: Path, server: FakeServer, against: str = "last", aim: Any = None, **words: Any
) -> Contest:
    flags: dict[str, Any] = {"url": server.url, "model": "new", "quiet": True, **words}
    aims: dict[str, Any] = {"against": against, **(aim or {})}
    return await measure_against(Wish(**flags), settings(folder), Aim(**aims))


def heads(folder: Path) -> list[Run]:
    with RunStore(folder) as store:
        return store.heads()


def the(found: Contest) -> Run:
    return found.measured.report.run


async def test_what_the_other_run_was_asked_is_asked_in_the_same_way(folder: Path) -> None:
    async with Asked(wrong=12) as old, Asked() as new:
        words = {"category": "a", "temperature": 0.5, "max_tokens": 9, "seed": 3, "repeats": 2}
        first = (await a_run(folder, old, **words, tools="prompt")).report.run
        (folder / "punie.toml").write_text("concurrency = 7\n[sampling]\ntop_p = 0.5\n")
        found = await contest(folder, new)
    assert {body["model"] for body in new.bodies} == {"new"}
    assert sorted(new.questions) == sorted([f"q{i}" for i in range(0, PROMPTS, 2)] * 2)
    run = the(found)
    assert run.sampling == first.sampling
    assert run.selection == first.selection == {"category": "a"}
    told = (run.suite_hash, run.repeats, run.tools_mode, run.concurrency)
    assert told == (first.suite_hash, 2, "prompt", 1)
    assert found.found is not None
    compared = found.found.compared.comparisons[0]
    assert (compared.base.id, compared.current.id) == (first.id, run.id)
    assert compared.pairs == 12
    assert compared.word is Word.BETTER
    assert code_of(found) == 0
    assert found.page is not None
    assert found.page.name == f"against-{first.id}.html"


async def test_a_flag_says_otherwise(folder: Path) -> None:
    async with Asked() as old, Asked() as new:
        await a_run(folder, old, temperature=0.5, max_tokens=9)
        flags: dict[str, Any] = {"temperature": 0.0, "max_tokens": 5, "repeats": 2}
        found = await contest(folder, new, **flags, concurrency=3, tools="prompt", category="b")
    asked = new.bodies[1:]
    assert {(body["temperature"], body["max_tokens"]) for body in asked} == {(0.0, 5)}
    assert len(asked) == PROMPTS
    run = the(found)
    assert (run.repeats, run.concurrency, run.tools_mode) == (2, 3, "prompt")
    assert run.selection == {"category": "b"}
    assert found.found is not None
    assert found.found.compared.comparisons[0].how == "intersected"
    what = {each.what for each in found.found.compared.comparisons[0].differs}
    assert {"temperature", "max_tokens", "repeats", "tools mode"} <= what


async def test_a_sample_is_drawn_again_by_the_seed_of_the_other_run(folder: Path) -> None:
    async with Asked() as old, Asked() as new:
        await a_run(folder, old, sample=5, seed=4)
        asked = old.questions
        found = await contest(folder, new)
    assert new.questions == asked
    assert the(found).selection == {"sample": "5", "seed": "4"}


async def test_a_recorded_run_is_the_other_arm(folder: Path) -> None:
    async with Asked(wrong=12) as old, Asked() as new:
        first = await a_run(folder, old, journal="A baseline")
        assert first.entry is not None
        found = await contest(folder, new, against=str(first.entry / "run.json"))
    assert found.found is not None
    assert not found.found.base.stored
    assert found.found.compared.comparisons[0].base.id == first.report.run.id
    assert len(heads(folder)) == 2


async def refused(folder: Path, server: Asked, aim: Any = None, **words: Any) -> PunieError:
    """Why a contest is refused, which must be before anything is asked or kept."""
    before = heads(folder)
    with pytest.raises(InputError) as caught:
        await contest(folder, server, aim=aim, **words)
    assert not server.bodies
    assert heads(folder) == before
    assert caught.value.hint
    return caught.value


async def test_another_suite_is_refused(folder: Path) -> None:
    (folder / "other.yaml").write_text(suite_text(name="other"))
    async with Asked() as old, Asked() as new:
        await a_run(folder, old)
        error = await refused(folder, new, suite="other.yaml")
    assert "another suite" in error.message


async def test_a_suite_that_has_changed_is_refused(folder: Path) -> None:
    async with Asked() as old, Asked() as new:
        await a_run(folder, old)
        (folder / "mini.yaml").write_text(suite_text().replace("prompt: q3,", "prompt: q33,"))
        error = await refused(folder, new)
    assert "has changed since" in error.message


async def test_prompts_that_the_other_run_was_not_asked_are_refused(folder: Path) -> None:
    async with Asked() as old, Asked() as new:
        await a_run(folder, old, category="a")
        error = await refused(folder, new, category="b")
    assert "p1, p3, p5, p7, p9 and 7 more" in error.message


async def test_a_run_that_is_not_whole_is_refused(folder: Path) -> None:
    async with Asked() as old, Asked() as new:
        run = (await a_run(folder, old)).report.run
        with RunStore(folder) as store:
            store.update(run.model_copy(update={"status": RunStatus.INTERRUPTED}))
        assert "not complete" in (await refused(folder, new)).message
        part = {"decided_after": 9, "decided_of": 99}
        with RunStore(folder) as store:
            store.update(run.model_copy(update=part))
        assert "asked 24 of 99 prompts, decided" in (await refused(folder, new)).message


async def test_the_times_of_a_url_are_not_compared(folder: Path, tiny_model: Path) -> None:
    async with Asked() as old, Asked() as new:
        await a_run(folder, old)
        assert "a URL" in (await refused(folder, new, aim={"latency": True})).message
        endpoint = f'backend = "endpoint"\n[endpoints.lab]\nurl = "{new.url}"\n'
        (folder / "punie.toml").write_text(endpoint)
        error = await refused(folder, new, aim={"latency": True}, url=None)
        assert "a URL" in error.message
        (folder / "punie.toml").unlink()
        local = {"url": None, "model": str(tiny_model)}
        error = await refused(folder, new, aim={"latency": True}, **local)
    assert "cannot be served here" in error.message


async def test_a_rate_without_prompts_is_no_other_arm(folder: Path) -> None:
    metrics = {"total_interactions": 9, "successful_interactions": 8, "success_rate": 8 / 9}
    (folder / "m.json").write_text(json.dumps(metrics))
    async with Asked() as new:
        error = await refused(folder, new, against="m.json")
    assert "m.json" in error.message


async def test_a_url_has_no_base(folder: Path) -> None:
    async with Asked() as new:
        error = await refused(folder, new, against="base")
        assert "--against RUN" in error.hint
    with pytest.raises(InputError, match="there is no adapter"):
        await measure_against(
            Wish(suite="mini.yaml", model="nowhere"), settings(folder), Aim(against="base")
        )


@pytest.mark.parametrize(
    ("aim", "words", "said"),
    [
        ({}, {"resume": "last"}, "--resume"),
        ({"until_decided": True}, {"repeats": 2}, "--repeats"),
        ({"latency": True}, {"repeats": 2}, "--repeats"),
        ({"latency": True}, {"concurrency": 8}, "--concurrency 8"),
        ({"latency": True}, {"judge": "m"}, "--judge"),
        ({"latency": True, "until_decided": True}, {}, "--until-decided"),
    ],
)
async def test_flags_that_contradict_each_other_are_refused(
    folder: Path, aim: dict[str, Any], words: dict[str, Any], said: str
) -> None:
    wish = replace(Wish(url="http://127.0.0.1:1/v1", model="m"), **words)
    with pytest.raises(InputError) as caught:
        await measure_against(wish, settings(folder), Aim(against="last", **aim))
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "words",
    [["--gate", "g.yaml"], ["--fail-on-regression"], ["--until-decided"], ["--latency"]],
)
def test_flags_of_a_comparison_need_one(folder: Path, words: list[str]) -> None:
    done = CliRunner().invoke(cli, ["eval", *words])
    assert isinstance(done.exception, InputError)
    assert f"{words[0]} needs --against" in done.exception.message
    assert not (folder / ".punie").exists()


async def test_until_decided_asks_in_a_drawn_order_and_stops(folder: Path) -> None:
    async with Asked(wrong=PROMPTS) as old, Asked() as new:
        first = (await a_run(folder, old)).report.run
        found = await contest(folder, new, aim={"until_decided": True}, seed=5)
        asked = new.questions
        run = the(found)
        # 2^8 / 9 is the first evidence of 20 or more: eight gained and none lost.
        assert (run.decided_after, run.decided_of) == (8, PROMPTS)
        assert run.status is RunStatus.DONE
        assert len(asked) == found.measured.report.summary.prompts == 8
        assert asked != [f"q{i}" for i in range(8)]
        assert run.selection == {"order": "seed 5"}
        told = found.measured.warnings[0]
        assert told == "decided after 8 prompts (8 gained, 0 lost): 16 of 24 saved"
        assert found.found is not None
        compared = found.found.compared.comparisons[0]
        assert compared.stopped_early
        assert (compared.pairs, compared.how) == (8, "paired")
        listed = CliRunner().invoke(cli, ["runs", "list"]).output
        assert f"decided 8/{PROMPTS}" in listed
        assert run.id in listed
        again = await contest(folder, new, first.id, aim={"until_decided": True}, seed=6)
        assert new.questions != asked
    assert the(again).id != run.id


async def test_a_decided_run_owes_its_faults_and_nothing_else(folder: Path) -> None:
    async with Asked(wrong=PROMPTS) as old, Asked() as new:
        first = (await a_run(folder, old)).report.run
        aim = {"until_decided": True}
        await contest(folder, new, first.id, aim=aim)
        order = new.questions
        new.refused = {order[1]}
        found = await contest(folder, new, first.id, aim=aim)
        run = the(found)
        assert run.decided_after == 9  # the fault is neither gained nor lost
        assert code_of(found) == 1
        assert found.as_json()["resume"] == f"punie eval --resume {run.id} --url {new.url}"
        new.refused = set()
        new.bodies.clear()
        done = await measure(Wish(resume=run.id, url=new.url, quiet=True), settings(folder))
        assert new.questions == [order[1]]
    assert done.report.run.status is RunStatus.DONE
    assert done.report.run.decided_after == 9
    assert (done.report.summary.prompts, done.report.summary.faults) == (9, 0)


async def test_until_decided_says_where_nothing_was(folder: Path) -> None:
    async with Asked() as old, Asked() as new:
        await a_run(folder, old)
        found = await contest(folder, new, aim={"until_decided": True})
        assert len(new.questions) == PROMPTS
    assert the(found).decided_after is None
    assert found.measured.warnings[0] == "not decided: all 24 prompts asked, 0 gained, 0 lost"
    assert found.found is not None
    assert not found.found.compared.comparisons[0].stopped_early


async def test_until_decided_goes_on_with_what_was_cut_short(folder: Path) -> None:
    async with Asked(wrong=PROMPTS) as old, Asked() as new:
        first = (await a_run(folder, old)).report.run
        aim = {"until_decided": True}
        whole = the(await contest(folder, new, first.id, aim=aim))
        order = new.questions
        with RunStore(folder) as store:  # as if it had been cut short after five
            store.delete([whole.id])
            suite = store.suite(first)
            position = {prompt.messages[-1].content: prompt for prompt in suite.prompts}
        prompts = [position[question] for question in order]
        part = await cut_short(folder, new, first, whole, [prompt.id for prompt in prompts])
        new.bodies.clear()
        with pytest.raises(InputError) as caught:
            await measure(Wish(resume=part.id, url=new.url, quiet=True), settings(folder))
        assert "punie eval mini.yaml --against" in caught.value.hint
        found = await contest(folder, new, first.id, aim=aim)
        assert new.questions == order[5:]
    assert the(found).id == part.id
    assert the(found).decided_after == 8
    assert found.measured.report.summary.prompts == 8


async def cut_short(
    folder: Path, server: FakeServer, other: Run, whole: Run, order: list[str]
) -> Run:
    """A run like `whole` with the answers to the first five of `order`, and interrupted."""
    from punie.cli.other_run import asked_like, drawn
    from punie.evaluation.run import new_run_id

    wish = Wish(url=server.url, model="new")
    _, questions = asked_like(wish, settings(folder), other)
    suite = drawn(questions, 0).suite
    assert [prompt.id for prompt in suite.prompts][: len(order)] == order
    head = whole.model_copy(
        update={
            "id": new_run_id(),
            "status": RunStatus.INTERRUPTED,
            "decided_after": None,
            "decided_of": None,
            "provenance": whole.provenance.model_copy(
                update={"command": f"punie eval mini.yaml --against {other.id}"}
            ),
        }
    )
    with RunStore(folder) as store:
        answers = {outcome.prompt_id: outcome for _, outcome in store.rows(other.id)}
        right = [
            answers[each].model_copy(update={"score": 1.0, "passed": True}) for each in order[:5]
        ]
        store.create(head, suite)
        store.add(head.id, right)
        store.update(head.model_copy(update={"summary": store.numbers(head)}))
    return head


async def test_until_decided_needs_what_can_be_right_or_wrong(folder: Path) -> None:
    async with Asked() as old, Asked() as new:
        await a_run(folder, old, repeats=2, temperature=1.0)
        error = await refused(folder, new, aim={"until_decided": True}, repeats=1)
        assert "none is just right or wrong" in error.message
        free = "name: free\nprompts:\n  - {id: a, prompt: A}\n"
        (folder / "free.yaml").write_text(free)
        await a_run(folder, old, suite="free.yaml")
        error = await refused(folder, new, aim={"until_decided": True})
    assert "nothing can be decided" in error.message


async def test_a_run_that_was_cut_short_is_gone_on_with(folder: Path) -> None:
    async with Asked(wrong=12) as old, Asked() as new:
        first = (await a_run(folder, old)).report.run
        whole = the(await contest(folder, new, first.id))
        with RunStore(folder) as store:
            store.update(whole.model_copy(update={"status": RunStatus.INTERRUPTED}))
        new.bodies.clear()
        found = await contest(folder, new, first.id)
        assert the(found).id == whole.id
        assert found.found is not None
        # One that is complete is measured again: that is what the command asks for.
        assert the(await contest(folder, new, first.id)).id != whole.id


GATE = """
name: strict
targets:
  - {suite: mini, minimum_gain_points: 0, floor_percent: 99}
"""


async def test_a_gate_decides_the_exit_code(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "g.yaml").write_text(GATE)
    async with Asked(wrong=12) as old, Asked() as new, Asked(wrong=PROMPTS) as worse:
        first = (await a_run(folder, old)).report.run
        gate = {"gate": "g.yaml"}
        found = await contest(folder, new, first.id, aim=gate, quiet=False)
        said = " ".join(capsys.readouterr().err.split())
        assert code_of(found) == 4
        assert "cannot pass: mini: a floor of 99 % needs" in said
        assert "24 prompts: a true difference of" in said
        assert "; one of 5 points takes 628" in said
        assert code_of(await contest(folder, worse, first.id, aim=gate)) == 3
        assert code_of(await contest(folder, worse, first.id)) == 0
        strict = {"fail_on_regression": True}
        assert code_of(await contest(folder, worse, first.id, aim=strict)) == 3
        found = await contest(folder, old, first.id, aim=strict)
    assert code_of(found) == 0
    assert "undecided" in found.warnings[0]


async def test_a_gate_that_asks_for_a_judge_says_which_command_asks_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "g.yaml").write_text("judge: {win_rate_percent: 50, score_percent: 90}\n")
    async with Asked() as old, Asked() as new:
        first = (await a_run(folder, old)).report.run
        found = await contest(folder, new, first.id, aim={"gate": "g.yaml"}, quiet=False)
    assert code_of(found) == 4
    assert "cannot pass: judge: a score of 90 % needs" in " ".join(capsys.readouterr().err.split())
    assert found.found is not None
    report = found.found.compared.gate
    assert report is not None
    wins, score = report.results
    current = found.measured.report.run.id
    assert f"punie compare {first.id} {current} --gate g.yaml --judge …" in wins.why
    assert f"punie judge run {current} --judge …" in score.why


async def test_what_a_gate_names_is_looked_for_before_anything_is_asked(folder: Path) -> None:
    (folder / "g.yaml").write_text("name: g\nguards:\n  - {suite: nowhere, margin_points: 5}\n")
    async with Asked() as old, Asked() as new:
        await a_run(folder, old)
        error = await refused(folder, new, aim={"gate": "g.yaml"})
    assert "nowhere" in error.message


async def test_the_guards_of_a_url_are_measured_for_the_current_run(folder: Path) -> None:
    (folder / "guard.yaml").write_text(suite_text(6, name="guard"))
    (folder / "data" / "suites").mkdir(parents=True)
    (folder / "guard.yaml").rename(folder / "data" / "suites" / "guard.yaml")
    (folder / "g.yaml").write_text("name: g\nguards:\n  - {suite: guard, margin_points: 60}\n")
    async with Asked() as old, Asked() as new:
        first = (await a_run(folder, old)).report.run
        found = await contest(folder, new, first.id, aim={"gate": "g.yaml"})
        assert found.found is not None
        assert len(found.found.compared.missing) == 1  # nobody can serve the old one again
        await a_run(folder, old, suite="guard")
        new.bodies.clear()
        found = await contest(folder, new, first.id, aim={"gate": "g.yaml"})
        # The guard's run of the new one is there and is not asked again.
        assert sorted(new.questions) == sorted(f"q{i}" for i in range(PROMPTS))
    assert found.found is not None
    assert [each.current.suite_name for each in found.found.compared.comparisons] == [
        "mini",
        "guard",
    ]


async def test_a_goal_writes_one_entry_of_the_comparison(folder: Path) -> None:
    async with Asked(wrong=12) as old, Asked() as new:
        await a_run(folder, old)
        found = await contest(folder, new, journal="Is the new one better?")
    (entry,) = (folder / "journal").glob("*/*/*/entry.md")
    assert found.entry == entry.parent
    assert "Is the new one better?" in entry.read_text()
    assert (entry.parent / "comparison.json").exists()


def test_json_holds_the_run_and_the_comparison(folder: Path) -> None:
    import asyncio

    async def both() -> tuple[str, str]:
        async with Asked(wrong=12) as old, Asked() as new:
            await a_run(folder, old)
            found = await contest(folder, new)
            return json.dumps(found.as_json()), the(found).id

    text, run_id = asyncio.run(both())
    data = json.loads(text)
    assert data["run"]["id"] == run_id
    assert data["comparison"]["comparisons"][0]["current"]["id"] == run_id
    assert Path(data["page"]).exists()

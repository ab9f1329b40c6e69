"""`punie consistency` as people run it, on what `punie eval` measured at real servers."""

import asyncio
import json
import os
import random
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fake_server import FakeServer, Reply

PUNIE = [sys.executable, "-m", "punie.cli.main"]
PROMPTS = 12
FILLER = "which is what follows from adding the two numbers one after the other, as asked."
Body = Mapping[str, Any]


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """What `--json` printed."""
        return json.loads(self.out)["data"]


class Drawing(FakeServer):
    """A server that draws: each answer from its request and the number of the request."""

    def __init__(self, draw: Callable[[Body, int], str]) -> None:
        super().__init__()
        self.draw = draw
        self.drawn = 0

    def reply_to(self, body: Body) -> Reply:
        if not body["messages"][-1]["content"].startswith("Which"):
            return Reply(text="Hello.")  # to whoever asks whether somebody answers
        self.drawn += 1
        return Reply(text=self.draw(body, self.drawn - 1))


def number_of(body: Body) -> int:
    """The prompt of a request: they end in their number."""
    return int(body["messages"][-1]["content"].split()[-1])


def heeding(body: Body, _: int) -> str:
    """Draws by seed and temperature: even prompts are right in half of the draws, others never."""
    number = number_of(body)
    if not body["temperature"]:
        return f"{number}, {FILLER} {number}"
    drawn = random.Random(body["seed"])
    right = drawn.random() < 0.5 and number % 2 == 0
    return f"{drawn.random()} {FILLER} {number if right else 1000 + drawn.randint(0, 2)}"


def deaf(body: Body, _: int) -> str:
    """Ignores the temperature and the seed."""
    return f"{FILLER} {number_of(body)}"


def cycling(_: Body, chat: int) -> str:
    """Ignores the prompt's seed: the answers to the repeats go round in a circle of two."""
    return f"{FILLER} {chat // PROMPTS % 2}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a suite of two categories."""
    root = tmp_path / "project"
    root.mkdir()
    lines = ["name: sums", "prompts:"]
    for at in range(PROMPTS):
        category, role = ("even", "odd")[at % 2], ("coder", "tester")[at % 3 == 0]
        lines.append(
            f"  - {{id: p{at:02}, category: {category}, role: {role}, "
            f'prompt: "Which number is {at}", max_tokens: 24, expect: {{number: {at}}}}}'
        )
    (root / "sums.yaml").write_text("\n".join(lines))
    return root


async def punie(folder: Path, *words: str, checks: bool = False, columns: int = 100) -> Said:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNIE_", "OPENAI_"))}
    state = os.environ["PUNIE_STATE"]
    chosen = {"COLUMNS": str(columns), "PUNIE_CHECKS": str(checks).lower(), "PUNIE_STATE": state}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *PUNIE, *words, cwd=folder, env={**kept, **chosen}, stdout=pipe, stderr=pipe
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode())


async def evaluated(
    folder: Path, draw: Callable[[Body, int], str], *flags: str, one_by_one: bool = False
) -> Said:
    """A run at a server that draws like this."""
    async with Drawing(draw) as server:
        words = ["eval", "sums.yaml", "--url", server.url, "--model", "fake", "--json", *flags]
        words += ["--concurrency", "1"] if one_by_one else []
        return await punie(folder, *words)


async def test_the_real_server_draws_and_is_told_to(folder: Path, tiny_model: Path):
    flags = ["--repeats", "4", "--temperature", "1", "--seed", "7", "--json"]
    ran = await punie(folder, "eval", "sums.yaml", "--model", str(tiny_model), *flags, checks=True)
    checks = {each["name"]: each for each in ran.data["run"]["checks"]["findings"]}
    assert checks["repeats"]["level"] == "ok"
    assert checks["repeats"]["details"]["separate"] is True
    data = (await punie(folder, "consistency", "--json")).data
    assert data["k"] == 4
    assert data["sampled"]
    assert [len(each["marks"]) for each in data["prompts"]] == [4] * PROMPTS
    assert data["overall"]["unique"] > 3
    pass_1 = data["overall"]["curve"][0]["pass_at"]["value"]
    assert pass_1 == pytest.approx(ran.data["run"]["summary"]["passed"]["value"])


async def test_capability_and_inconsistency_are_told_by_category(folder: Path):
    ran = await evaluated(folder, heeding, "--repeats", "8", "--temperature", "1", "--seed", "3")
    assert ran.code == 0
    said = await punie(folder, "consistency")
    assert said.code == 0
    assert "Inconsistency in even; capability in odd" in said.out
    assert "Capability: of 6 prompts not always right, 6 (100 % [61–100]) never are" in said.out
    assert "no greedy run to compare with; to make one: punie eval" in said.err
    assert "--temperature 0" in said.err
    told = json.loads((await punie(folder, "consistency", "--json")).out)["warnings"]
    assert told[-1] in said.err
    assert told[-1].startswith("no greedy run to compare with")


async def test_the_newest_greedy_run_of_the_same_server_is_found(folder: Path):
    async with Drawing(heeding) as server:
        asked = ["eval", "sums.yaml", "--url", server.url, "--model", "fake", "--json"]
        ran = await punie(folder, *asked, "--repeats", "8", "--temperature", "1", "--seed", "3")
        made = await punie(folder, *asked, "--temperature", "0")
    sampled, greedy = ran.data["run"]["id"], made.data["run"]["id"]
    data = (await punie(folder, "consistency", sampled, "--json")).data
    assert data["greedy"]["run"]["id"] == greedy
    assert data["greedy"]["greedy"]["value"] == 1
    assert data["greedy"]["sampled_difference"]["high"] < 0
    chosen = await punie(folder, "consistency", sampled, "--greedy", greedy, "--json")
    assert chosen.data == data
    said = await punie(folder, "consistency", sampled)
    assert "worse than greedy" in said.out
    assert said.err == ""


async def test_a_server_that_ignores_the_temperature_is_found_out(folder: Path):
    ran = await evaluated(folder, deaf, "--repeats", "4", "--temperature", "1", "--seed", "3")
    checks = {each["name"]: each for each in ran.data["run"]["checks"]["findings"]}
    assert checks["repeats"]["level"] == "warning"
    said = await punie(folder, "consistency")
    assert said.code == 0
    assert "All answers (up to 4) to 12 of 12 prompts are the same to the letter" in said.out
    assert "Cannot be told: the repeats are one draw" in said.out
    told = json.loads((await punie(folder, "consistency", "--json")).out)
    assert not told["data"]["sampled"]
    assert "same to the letter" in told["warnings"][0]


async def test_a_server_that_repeats_its_draws_is_found_out(folder: Path):
    flags = ["--repeats", "4", "--temperature", "1", "--seed", "3"]
    ran = await evaluated(folder, cycling, *flags, one_by_one=True)
    checks = {each["name"]: each for each in ran.data["run"]["checks"]["findings"]}
    assert checks["repeats"]["level"] == "warning"
    assert checks["repeats"]["details"]["alike"] in ([0, 2], [1, 3])
    assert "fewer separate answers than repeats" in (await punie(folder, "consistency")).out


async def test_a_run_of_one_repeat_says_how_to_make_one_of_several(folder: Path):
    await evaluated(folder, heeding, "--temperature", "0")
    said = await punie(folder, "consistency")
    assert said.code == 2
    assert "asked each prompt once" in said.err
    assert "--repeats 8 --temperature 0.7" in said.err
    assert "--url http://127.0.0.1" in said.err


async def test_at_temperature_0_repeats_say_nothing_of_capability(folder: Path):
    await evaluated(folder, heeding, "--temperature", "0", "--repeats", "3")
    said = await punie(folder, "consistency")
    assert said.code == 0
    assert "as they should be" in said.out
    assert "Cannot be told: the repeats are one draw" in said.out


async def test_what_cannot_be_told_is_said(folder: Path):
    await evaluated(folder, heeding, "--repeats", "2", "--temperature", "1", "--seed", "3")
    for words, message in (
        (["--k", "9"], "k 9 is more than the 2 answers"),
        (["--k", "1"], "1 is not in the range"),
        (["--output", "x.pdf"], "no format has this ending"),
        (["--json", "--format", "html"], "--json and --format html contradict each other"),
        (["--greedy", "last"], "is no run at temperature 0"),
        (["nowhere"], "nowhere is no run here"),
        (["nowhere.json"], "nowhere.json"),
    ):
        said = await punie(folder, "consistency", *words)
        assert said.code == 2
        assert message in said.out + said.err
        assert "Traceback" not in said.err


async def test_every_form_is_written(folder: Path):
    await evaluated(folder, heeding, "--repeats", "4", "--temperature", "1", "--seed", "3")
    files = ["--output", "out/c.html", "--svg", "out", "--png", "drawn"]
    said = await punie(folder, "consistency", *files, "--format", "markdown")
    assert said.code == 0
    assert said.out.startswith("## Consistency: fake on sums: 4 answers each at temperature 1")
    assert {path.name for path in (folder / "out").iterdir()} == {
        "c.html",
        "heat-map.svg",
        "pass-k.svg",
    }
    drawn = {path.name: path.read_bytes() for path in (folder / "drawn").iterdir()}
    assert set(drawn) == {"heat-map.png", "pass-k.png"}
    assert all(each.startswith(b"\x89PNG") for each in drawn.values())
    page = (folder / "out" / "c.html").read_text()
    assert page.startswith("<!doctype html>")
    assert (await punie(folder, "consistency", "--format", "html")).out == page
    told = await punie(folder, "consistency", "--format", "json")
    assert told == await punie(folder, "consistency", "--json")
    assert told.data["k"] == 4
    shown = (await punie(folder, "consistency", "--format", "text")).out
    assert shown == (await punie(folder, "consistency")).out
    assert (await punie(folder, "consistency", "--output", "c.json")).code == 0
    assert json.loads((folder / "c.json").read_text())["k"] == 4
    assert (await punie(folder, "consistency", "--output", "c.md", "--json")).code == 0
    assert "### Prompts" in (folder / "c.md").read_text()


async def test_a_journal_entry_is_told_by_its_record(folder: Path):
    flags = ["--repeats", "4", "--temperature", "1", "--seed", "3", "--journal", "How steady?"]
    await evaluated(folder, heeding, *flags)
    (record,) = (folder / "journal").glob("*/*/*/run.json")
    found = (await punie(folder, "consistency", str(record), "--json")).data
    stored = (await punie(folder, "consistency", "--json")).data
    assert found["overall"]["curve"] == stored["overall"]["curve"]
    assert found["overall"]["rate"] is None
    assert found["sampled"] == stored["sampled"]

"""`punie eval --judge` and `punie judge` as people run them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fake_judge import TONE
from punie.judging.rubric import read_rubric

PUNIE = [sys.executable, "-m", "punie.cli.main"]
FAKE = Path(__file__).with_name("fake_server.py")
SUITE = """
name: mini
prompts:
  - {id: one, category: letters, prompt: A, expect: {exact: A}}
  - {id: two, category: letters, prompt: B, expect: {exact: wrong}}
  - {id: three, category: numbers, prompt: "7", expect: {number: 7}}
  - {id: four, category: numbers, prompt: "8 <|im_end|>", expect: {number: 8}}
"""
Serve = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "mini.yaml").write_text(SUITE)
    return root


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a fake server with these flags; gives its URL. Its requests go to NAME.jsonl."""
    with ExitStack() as servers:

        def start(name: str, *flags: str) -> str:
            log = tmp_path / f"{name}.jsonl"
            argv = [sys.executable, str(FAKE), "--port", "0", "--log", str(log), *flags]
            server = servers.enter_context(
                subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
            )
            servers.callback(server.kill)
            assert server.stdout is not None
            return f"http://127.0.0.1:{json.loads(server.stdout.readline())['port']}/v1"

        yield start


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNIE_", "OPENAI_"))}
    return {**kept, "COLUMNS": "80", "NO_COLOR": "1", "PUNIE_CHECKS": "false"}


def punie(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PUNIE, *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def data_of(done: subprocess.CompletedProcess[str], code: int = 0) -> Any:
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)["data"]


def measured(folder: Path, url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return punie(folder, "eval", "mini.yaml", "--url", url, "--model", "m", *words)


def chats(tmp_path: Path, name: str) -> list[dict[str, Any]]:
    """What was asked of a judge: neither the first token nor the question about schemas."""
    lines = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
    bodies = [each["body"] for each in lines if each["path"].endswith("/chat/completions")]
    return [each for each in bodies if "[[ANSWER" in each["messages"][-1]["content"]]


def configure(folder: Path, url: str, **more: object) -> None:
    settings = {"url": url, "model": "some-judge", **more}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    (folder / "punie.toml").write_text("\n".join(["[endpoints.judge]", *lines]))


def test_an_eval_is_judged_beside_its_score(folder: Path, tmp_path: Path, serve: Serve) -> None:
    configure(folder, serve("judge", "--judge", "good"), price_input=10.0, price_output=20.0)
    done = measured(folder, serve("model"), "--judge", "judge", "--json")
    run = data_of(done)["run"]
    judged = run["judged"]
    assert run["summary"]["score"]["value"] == pytest.approx(0.75)
    assert judged["score"]["value"] == pytest.approx(0.75)
    assert [(d["name"], d["mark"]) for d in judged["dimensions"]] == [
        ("correctness", 4.0),
        ("completeness", 3.0),
        ("format", 5.0),
    ]
    assert (judged["answers"], judged["judged"], judged["faults"]) == (4, 4, 0)
    assert (judged["altered"], judged["calibrated"]) == (1, "")
    assert judged["cost"] == pytest.approx(
        (judged["tokens_in"] * 10 + judged["tokens_out"] * 20) / 1e6
    )
    assert len(chats(tmp_path, "judge")) == 4
    shown = punie(folder, "runs", "show", "last").stdout
    assert "Judge  some-judge by the rubric default" in shown
    assert "Not calibrated" in shown
    page = (folder / ".punie" / "runs" / run["id"] / "report.html").read_text()
    assert "What a judge says" in page
    assert "Not calibrated" in page


def test_the_same_is_never_asked_twice(folder: Path, tmp_path: Path, serve: Serve) -> None:
    configure(folder, serve("judge", "--judge", "good"))
    model = serve("model")
    data_of(measured(folder, model, "--judge", "judge", "--json"))
    again = punie(folder, "judge", "run", "--judge", "judge")
    assert again.returncode == 0
    assert "nothing was asked" in again.stderr
    other = data_of(measured(folder, model, "--judge", "judge", "--json"))["run"]["judged"]
    assert (other["judged"], other["cached"], other["tokens_in"]) == (4, 4, None)
    assert len(chats(tmp_path, "judge")) == 4
    first = data_of(punie(folder, "runs", "list", "--json"))
    data_of(punie(folder, "runs", "delete", first[1]["id"], "--yes", "--json"))
    kept = data_of(punie(folder, "judge", "show", "last", "--json"))
    assert len(kept["judgements"]) == 4


def test_a_judge_of_another_kind_is_asked_by_the_url(folder: Path, serve: Serve) -> None:
    url = serve("both", "--judge", "broken")
    done = measured(folder, url, "--judge", url, "--judge-model", "qwen-judge", "--json")
    judged = data_of(done)["run"]["judged"]
    assert (judged["judge"]["model"], judged["repaired"]) == ("qwen-judge", 4)
    same = data_of(punie(folder, "judge", "run", "--judge", url, "--judge-model", "m", "--json"))
    assert same["judged"]["family"] == "The judge goes by the name of what it judges, m."


@pytest.mark.parametrize(
    ("judge", "kind"),
    [
        ("prose", "prose instead of a judgement"),
        ("out-of-range", "marks out of range"),
        ("no-code", "judgement without its code"),
    ],
)
def test_a_judge_of_no_use_is_a_fault_and_no_score(
    folder: Path, serve: Serve, judge: str, kind: str
) -> None:
    configure(folder, serve("judge", "--judge", judge))
    done = measured(folder, serve("model"), "--judge", "judge", "--json")
    run = data_of(done, code=1)["run"]
    assert run["status"] == "done"
    assert run["summary"]["score"]["value"] == pytest.approx(0.75)
    assert run["judged"]["score"] is None
    assert run["judged"]["fault_kinds"] == {kind: 4}
    warned = json.loads(done.stdout)["warnings"]
    assert any(f"punie judge run {run['id']} --judge judge" in each for each in warned)
    assert punie(folder, "judge", "run", "--judge", "judge").returncode == 5
    shown = punie(folder, "judge", "show").stdout
    assert "no marks" in shown
    assert kind in shown


def test_a_judge_that_is_not_there_leaves_the_run_as_it_is(folder: Path, serve: Serve) -> None:
    configure(folder, "http://127.0.0.1:9/v1")
    done = measured(folder, serve("model"), "--judge", "judge")
    assert done.returncode == 1
    assert "75.0 %" in done.stdout
    assert "nobody judged: http://127.0.0.1:9/v1: cannot connect" in done.stderr
    assert "to have it judged: punie judge run" in done.stderr
    url = serve("judge", "--judge", "good")
    configure(folder, url)
    assert punie(folder, "judge", "run", "--judge", "judge").returncode == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--judge-model", "m"], "--judge-model is for a judge"),
        (["--rubric", "mini.yaml"], "--rubric is for a judge"),
        (["--judge", "http://127.0.0.1:9/v1"], "which model of http://127.0.0.1:9/v1 judges?"),
        (["--judge", "x", "--judge-model", "m"], "--judge-model is for a judge at a URL"),
        (["--judge", "x", "--rubric", "mini.yaml"], "mini.yaml:3:1 prompts: unknown key"),
        (["--judge", "x", "--rubric", "none.yaml"], "none.yaml: No such file"),
    ],
)
def test_what_cannot_judge_is_said_before_anything_is_asked(
    folder: Path, words: list[str], says: str
) -> None:
    done = measured(folder, "http://127.0.0.1:9/v1", *words)
    assert done.returncode == 2
    assert says in done.stderr


def test_an_interrupted_judging_goes_on_where_it_was(
    folder: Path, tmp_path: Path, serve: Serve
) -> None:
    run = data_of(measured(folder, serve("model"), "--json"))["run"]["id"]
    slow = serve("slow", "--judge", "good", "--first-token-s", "0.4")
    configure(folder, slow)
    argv = [*PUNIE, "judge", "run", run, "--judge", "judge", "--concurrency", "1"]
    with subprocess.Popen(
        argv, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True
    ) as judging:
        until = time.monotonic() + 60
        while len(chats(tmp_path, "slow")) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        judging.send_signal(signal.SIGINT)
        _, said = judging.communicate(timeout=60)
    assert judging.returncode == 130, said
    assert f"to ask for them: punie judge run {run} --judge judge" in said
    part = data_of(punie(folder, "judge", "show", run, "--json"))["judged"]
    assert 1 <= part["judged"] < 4
    whole = data_of(punie(folder, "judge", "run", run, "--judge", "judge", "--json"))["judged"]
    assert (whole["judged"], whole["cached"]) == (4, 0)
    assert len(chats(tmp_path, "slow")) == 4


def test_a_run_that_is_not_judged_says_how(folder: Path, serve: Serve) -> None:
    data_of(measured(folder, serve("model"), "--json"))
    done = punie(folder, "judge", "show")
    assert done.returncode == 2
    assert "was not judged yet" in done.stderr
    assert punie(folder, "judge", "show", "--prompt", "one").returncode == 2


def test_the_built_in_rubric_can_be_begun_with(folder: Path, serve: Serve) -> None:
    printed = punie(folder, "judge", "rubric")
    assert printed.returncode == 0
    own = printed.stdout.replace("name: default", "name: own").replace("5: exactly", "6: exactly")
    (folder / "own.yaml").write_text(own)
    checked = punie(folder, "judge", "rubric", "own.yaml")
    assert "own.yaml: correctness 1-5, completeness 1-5, format 1-6; hash" in checked.stdout
    configure(folder, serve("judge", "--judge", "good"))
    done = measured(folder, serve("model"), "--judge", "judge", "--rubric", "own.yaml", "--json")
    judged = data_of(done)["run"]["judged"]
    assert judged["rubric"]["name"] == "own"
    assert judged["dimensions"][2]["mark"] == pytest.approx(5.0)
    assert judged["dimensions"][2]["score"]["value"] == pytest.approx(0.8)


def test_a_finished_run_is_judged_by_a_rubric_of_ones_own(folder: Path, serve: Serve) -> None:
    (folder / "tone.yaml").write_text(TONE)
    configure(folder, serve("judge", "--judge", "tone"))
    data_of(measured(folder, serve("model"), "--json"))
    asked = ("judge", "run", "--judge", "judge", "--rubric", "tone.yaml", "--json")
    judged = data_of(punie(folder, *asked))["judged"]
    assert [(d["name"], d["mark"]) for d in judged["dimensions"]] == [("tone", 2.0)]
    assert judged["judge"]["rubric_hash"] == read_rubric(folder / "tone.yaml").hash


def test_a_journal_entry_shows_the_judge_and_names_no_address(folder: Path, serve: Serve) -> None:
    configure(folder, serve("judge", "--judge", "good"))
    words = ("--judge", "judge", "--journal", "a judged baseline", "--json")
    entry = folder / data_of(measured(folder, serve("model"), *words))["journal"]
    text = (entry / "entry.md").read_text()
    assert "### What a judge says" in text
    assert "Not calibrated" in text
    assert "127.0.0.1" not in text + (entry / "run.json").read_text()
    assert punie(folder, "journal", "check").returncode == 0


def test_a_model_judges_once_the_candidates_server_has_ended(
    folder: Path, tiny_model: Path
) -> None:
    pytest.importorskip("mlx_lm")
    (folder / "short.yaml").write_text(
        "max_tokens: 64\ndimensions: {right: {question: Is it?, levels: {1: no, 5: yes}}}\n"
    )
    words = ("--model", str(tiny_model), "--sample", "1", "--max-tokens", "4", "--concurrency", "1")
    judge = ("--judge", str(tiny_model), "--rubric", "short.yaml")
    done = punie(folder, "eval", "mini.yaml", *words, *judge, "--json")
    run = data_of(done, code=1)["run"]  # what it says is no judgement
    assert run["judged"]["faults"] == 1
    assert run["judged"]["score"] is None
    assert run["judged"]["family"] == "The judge has the very weights that it judges."
    assert run["judged"]["judge"]["url"] is None
    logs = folder / ".punie" / "runs" / run["id"]
    times = [
        re.findall(r"^\d{4}-\d\d-\d\d [\d:,]+", (logs / name).read_text(), re.MULTILINE)
        for name in ("server.log", "judge.log")
    ]
    assert times[0][-1] < times[1][0]

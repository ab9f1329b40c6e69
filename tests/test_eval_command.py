"""`punie eval` as people run it: a process, a folder, a server, an exit code."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PUNIE = [sys.executable, "-m", "punie.cli.main"]
FAKE = Path(__file__).with_name("fake_server.py")
SUITE = """
name: mini
prompts:
  - {id: one, category: letters, role: coder, tags: [easy], prompt: A, expect: {exact: A}}
  - {id: two, category: letters, role: tester, tags: [hard], prompt: B, expect: {exact: wrong}}
  - {id: three, category: numbers, role: coder, tags: [easy], prompt: "7", expect: {number: 7}}
  - {id: four, category: numbers, role: tester, tags: [hard], prompt: "8", expect: {number: 8}}
"""


@dataclass(frozen=True)
class Fake:
    """A fake server in a process of its own, and the requests that it saw."""

    url: str
    log: Path

    def bodies(self) -> list[dict[str, Any]]:
        """The chat requests after the first one, which is the check that somebody answers."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        chats = [line["body"] for line in lines if line["path"].endswith("/chat/completions")]
        return chats[1:]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project without git, with one suite."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "mini.yaml").write_text(SUITE)
    return root


@pytest.fixture
def fake(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Fake]:
    """The fake server; its flags come as the test's indirect parameter."""
    log = tmp_path / "requests.jsonl"
    flags: list[str] = getattr(request, "param", [])
    argv = [sys.executable, str(FAKE), "--port", "0", "--log", str(log), *flags]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        yield Fake(f"http://127.0.0.1:{port}/v1", log)
        server.kill()


def environment(**more: str) -> dict[str, str]:
    """Ours without anybody's settings, and without self-checks, whose requests are not counted."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNIE_", "OPENAI_"))}
    return {**kept, "COLUMNS": "80", "PUNIE_CHECKS": "false", **more}


def punie(
    folder: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PUNIE, *words],
        cwd=folder,
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def measured(folder: Path, fake: Fake, *words: str, code: int = 0) -> dict[str, Any]:
    """The run of `punie eval mini.yaml` with more words, from its JSON envelope."""
    done = punie(folder, "eval", "mini.yaml", "--url", fake.url, "--model", "m", "--json", *words)
    assert done.returncode == code, done.stdout + done.stderr
    envelope = json.loads(done.stdout)
    assert envelope["command"] == "eval"
    run: dict[str, Any] = envelope["data"]["run"]
    return run


def test_an_eval_leaves_a_table_a_row_and_a_report(folder: Path, fake: Fake) -> None:
    done = punie(folder, "eval", "mini.yaml", "--url", fake.url, "--model", "m")
    assert done.returncode == 0, done.stderr
    assert "letters" in done.stdout
    assert "75.0 %" in done.stdout
    assert "Traceback" not in done.stderr
    (report,) = (folder / ".punie" / "runs").glob("*/report.html")
    assert "<!doctype html>" in report.read_text().lower()
    listed = json.loads(punie(folder, "runs", "list", "--json").stdout)["data"]
    assert listed[0]["summary"]["score"]["value"] == 0.75
    assert listed[0]["status"] == "done"
    assert listed[0]["provenance"]["command"].startswith("punie eval mini.yaml")
    assert sorted(path.name for path in folder.iterdir()) == [".punie", "mini.yaml"]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["--category", "letters"], {"one", "two"}),
        (["--role", "coder"], {"one", "three"}),
        (["--tag", "hard"], {"two", "four"}),
        (["--category", "letters", "--role", "coder"], {"one"}),
    ],
)
def test_filters_choose_prompts(folder: Path, fake: Fake, words: list[str], ids: set[str]) -> None:
    run = measured(folder, fake, *words)
    assert len(fake.bodies()) == len(ids)
    assert run["summary"]["prompts"] == len(ids)
    filters = zip(words[::2], words[1::2], strict=True)
    assert run["selection"] == {flag.removeprefix("--"): value for flag, value in filters}
    shown = json.loads(punie(folder, "runs", "show", "--json").stdout)["data"]["outcomes"]
    assert {row["prompt_id"] for row in shown} == ids


def test_sampling_flags_reach_the_server(folder: Path, fake: Fake) -> None:
    flags = ["--temperature", "0.5", "--max-tokens", "9", "--seed", "3", "--repeats", "2"]
    run = measured(folder, fake, *flags)
    bodies = fake.bodies()
    assert len(bodies) == 8
    assert {body["temperature"] for body in bodies} == {0.5}
    assert {body["max_tokens"] for body in bodies} == {9}
    assert len({body["seed"] for body in bodies}) == 8
    assert {body["model"] for body in bodies} == {"m"}
    assert run["sampling"]["temperature"] == 0.5
    assert run["repeats"] == 2
    assert run["concurrency"] == 8


def test_a_sample_is_drawn_by_its_seed(folder: Path, fake: Fake) -> None:
    first = measured(folder, fake, "--sample", "2", "--seed", "1")
    assert first["selection"] == {"sample": "2", "seed": "1"}
    assert first["summary"]["prompts"] == 2


def test_concurrency_and_tools_are_recorded(folder: Path, fake: Fake) -> None:
    run = measured(folder, fake, "--concurrency", "1", "--tools", "prompt")
    assert run["concurrency"] == 1
    assert run["tools_mode"] == "prompt"
    asked = [body["messages"][-1]["content"] for body in fake.bodies()]
    assert asked == ["A", "B", "7", "8"]


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_results_go_to_a_file_too(folder: Path, fake: Fake, ending: str) -> None:
    measured(folder, fake, "--output", f"out/results.{ending}")
    text = (folder / "out" / f"results.{ending}").read_text()
    exported = punie(folder, "runs", "export", "last", "--format", ending).stdout
    assert text.replace("\r\n", "\n") == exported.replace("\r\n", "\n")
    summary = json.loads((folder / "out" / "results.summary.json").read_text())
    assert summary["summary"]["answered"] == 4


def test_settings_of_the_project_are_used(folder: Path, fake: Fake) -> None:
    (folder / "punie.toml").write_text(
        f'suite = "mini.yaml"\nconcurrency = 2\nbackend = "endpoint"\njournal = "always"\n'
        f'[sampling]\ntop_p = 0.5\n[endpoints.lab]\nurl = "{fake.url}"\nmodel = "lab-model"\n'
        "price_input = 1.0\n"
    )
    done = punie(folder, "eval", "--json")
    assert done.returncode == 0, done.stdout
    data = json.loads(done.stdout)["data"]
    assert data["run"]["model"]["name"] == "lab-model"
    assert data["run"]["sampling"]["top_p"] == 0.5
    assert data["run"]["concurrency"] == 2
    assert data["run"]["summary"]["cost"] > 0
    assert {body["top_p"] for body in fake.bodies()} == {0.5}
    entry = (Path(data["journal"]) / "entry.md").read_text()
    assert "lab-model" in entry


def test_a_goal_writes_a_journal_entry_that_checks(folder: Path, fake: Fake) -> None:
    measured(folder, fake, "--journal", "A first look")
    (entry,) = (folder / "journal").glob("*/*/*/entry.md")
    assert "A first look" in entry.read_text()
    assert not (folder / "journal" / "README.md").exists()
    assert punie(folder, "journal", "render").returncode == 0
    checked = punie(folder, "journal", "check", "--strict")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    entry.write_text(entry.read_text().replace("75.0 %", "95.0 %"))
    assert punie(folder, "journal", "check").returncode == 3


@pytest.mark.parametrize("fake", [["--fault", "status", "--status", "500"]], indirect=True)
def test_an_endpoint_that_only_fails_measures_nothing(folder: Path, fake: Fake) -> None:
    done = punie(folder, "eval", "mini.yaml", "--url", fake.url, "--model", "m")
    assert done.returncode == 5
    assert "HTTP 500" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("fake", [["--key", "right-canary"]], indirect=True)
def test_a_key_comes_from_the_environment_and_goes_nowhere_else(folder: Path, fake: Fake) -> None:
    words = ["eval", "mini.yaml", "--url", fake.url, "--model", "m"]
    refused = punie(folder, *words, env={"OPENAI_API_KEY": "wrong-canary"})
    assert refused.returncode == 5
    assert "401" in refused.stderr
    assert "OPENAI_API_KEY" in refused.stderr
    taken = punie(folder, *words, "--journal", "g", env={"OPENAI_API_KEY": "right-canary"})
    assert taken.returncode == 0
    said = refused.stdout + refused.stderr + taken.stdout + taken.stderr
    assert "canary" not in said
    for path in folder.rglob("*"):
        if path.is_file():
            assert b"canary" not in path.read_bytes(), path


def test_nobody_there(folder: Path) -> None:
    done = punie(folder, "eval", "mini.yaml", "--url", "http://127.0.0.1:9/v1", "--model", "m")
    assert done.returncode == 5
    assert "cannot connect" in done.stderr
    assert "hint" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["eval", "nowhere"], 2, "nowhere"),
        (["eval", "quikc"], 2, "quick"),
        (["eval", "missing.yaml"], 2, "missing.yaml"),
        (["eval", "empty.yaml"], 2, "empty.yaml"),
        (["eval", "broken.yaml"], 2, "broken.yaml:3"),
        (["eval", "mini.yaml", "--category", "none"], 2, "letters"),
        (["eval", "mini.yaml", "--output", "x.xlsx"], 2, ".csv"),
        (["eval", "mini.yaml", "--url", "ftp://x"], 2, "not a usable URL"),
        (["eval", "mini.yaml", "--url", "http://u:p@h/v1", "--model", "m"], 2, "password"),
        (["eval", "mini.yaml", "--url", "http://127.0.0.1:9/v1"], 2, "--model"),
        (["eval", "mini.yaml", "--model", "no/such/folder"], 5, "no/such/folder"),
        (["eval", "mini.yaml", "--model", "smollm2-135"], 5, "smollm2-135m"),
        (["eval", "--repeats", "0"], 2, "repeats"),
        (["eval", "mini.yaml", "--max-tokens", "200000"], 2, "max_tokens"),
        (["eval", "mini.yaml", "--seed", "9223372036854775808"], 2, "seed"),
        (["eval", "mini.yaml", "--journal", " "], 2, "goal"),
        (["eval", "mini.yaml", "--url", "http://h/v1?key=s", "--model", "m"], 2, "query"),
        (["eval", "mini.yaml", "--url", "http://h/v1", "--backend", "mlx"], 2, "contradict"),
        (["eval", "--nonsense"], 2, "nonsense"),
        (["evla"], 2, "evla"),
        (["runs", "show"], 2, "no run"),
        (["report", "last"], 2, "no run"),
    ],
    ids=str,
)
def test_bad_input_is_a_message_and_a_code(
    folder: Path, words: list[str], code: int, said: str
) -> None:
    (folder / "empty.yaml").write_text("")
    (folder / "broken.yaml").write_text("name: x\nprompts:\n  - {id: a, promt: hi}\n")
    for more in ([], ["--json"]):
        done = punie(folder, *words, *more, env={"HF_HUB_OFFLINE": "1"})
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        assert said in done.stderr + done.stdout
        if more:
            assert json.loads(done.stdout)["error"]["message"]


def test_fifty_mistakes_are_fifty_lines(folder: Path) -> None:
    rows = "".join(f"  - {{id: p{n}, promt: hi}}\n" for n in range(50))
    (folder / "many.yaml").write_text(f"name: many\nprompts:\n{rows}")
    done = punie(folder, "eval", "many.yaml")
    assert done.returncode == 2
    lines = {int(n) for n in re.findall(r"many\.yaml:(\d+):", done.stderr)}
    assert lines == set(range(3, 53))


@pytest.mark.parametrize("damage", ["weights", "tokenizer", "pickle", "config"])
def test_a_damaged_model_is_named_before_anything_starts(
    folder: Path, tiny_model: Path, damage: str
) -> None:
    import shutil

    model = folder / "model"
    shutil.copytree(tiny_model, model)
    if damage == "weights":
        path = model / "model.safetensors"
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "tokenizer":
        (model / "tokenizer.json").unlink()
    elif damage == "config":
        (model / "config.json").write_text("{")
    else:
        (model / "model.safetensors").rename(model / "pytorch_model.bin")
    done = punie(folder, "eval", "mini.yaml", "--model", "./model")
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert "model" in done.stderr


def test_what_cannot_be_written_afterwards_hides_no_result(folder: Path, fake: Fake) -> None:
    (folder / "journal").write_text("a file where the folder should be")
    words = ["eval", "mini.yaml", "--url", fake.url, "--model", "m", "--journal", "goal"]
    done = punie(folder, *words)
    assert done.returncode == 1
    assert "75.0 %" in done.stdout
    assert "journal entry could not be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configured_endpoint_gets_no_key_that_it_does_not_name(folder: Path, fake: Fake) -> None:
    (folder / "punie.toml").write_text(f'[endpoints.lab]\nurl = "{fake.url}"\nmodel = "m"\n')
    done = punie(folder, "eval", "mini.yaml", "--url", "lab", env={"OPENAI_API_KEY": "canary"})
    assert done.returncode == 0, done.stderr
    credentials = {json.loads(line)["credential"] for line in fake.log.read_text().splitlines()}
    assert credentials == {"none"}


def test_a_folder_that_cannot_be_written_is_said_first(folder: Path, fake: Fake) -> None:
    (folder / ".punie").write_text("a file where the folder should be")
    done = punie(folder, "eval", "mini.yaml", "--url", fake.url, "--model", "m")
    assert done.returncode == 1
    assert "punie.db" in done.stderr
    assert not fake.log.exists() or not fake.log.read_text()


def test_the_real_server_end_to_end(folder: Path, tiny_model: Path) -> None:
    done = punie(folder, "eval", "mini.yaml", "--model", str(tiny_model), "--max-tokens", "8")
    assert done.returncode == 0, done.stderr
    listed = json.loads(punie(folder, "runs", "list", "--json").stdout)["data"]
    run = listed[0]
    assert run["summary"]["answered"] == 4
    assert run["summary"]["peak_memory_bytes"] > 20e6
    assert len(run["model"]["weights_hash"]) == 64
    assert run["model"]["backend"] == "mlx"
    assert run["summary"]["first_token"]["n"] == 4
    (log,) = (folder / ".punie" / "runs").glob("*/server.log")
    assert "Starting httpd" in log.read_text()


@pytest.mark.parametrize("fake", [["--first-token-s", "0.4"]], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_was_measured(
    folder: Path, fake: Fake, number: signal.Signals
) -> None:
    with interruptible(folder, fake) as run:
        wait_for_outcomes(folder, 1)
        run.send_signal(number)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in said
    listed = json.loads(punie(folder, "runs", "list", "--json").stdout)["data"]
    assert listed[0]["status"] == "interrupted"
    assert 1 <= listed[0]["summary"]["answered"] < 4
    assert list((folder / ".punie" / "runs").glob("*/report.html"))


@pytest.mark.parametrize("fake", [["--first-token-s", "5"]], indirect=True)
def test_a_second_interrupt_ends_at_once(folder: Path, fake: Fake) -> None:
    with interruptible(folder, fake) as run:
        assert run.stderr is not None
        wait_for(lambda: fake.log.exists() and len(fake.log.read_text().splitlines()) >= 2)
        run.send_signal(signal.SIGINT)
        said = iter(run.stderr.readline, "")
        assert next(line for line in said if "ending after" in line)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in said
    (head,) = json.loads(punie(folder, "runs", "list", "--json").stdout)["data"]
    assert head["status"] == "interrupted"
    shown = punie(folder, "runs", "show", "last")
    assert shown.returncode == 0, shown.stderr
    assert "Interrupted before its end" in shown.stdout
    assert punie(folder, "report", "last").returncode == 0


def interruptible(folder: Path, fake: Fake, *words: str) -> subprocess.Popen[str]:
    argv = [*PUNIE, "eval", "mini.yaml", "--url", fake.url, "--model", "m", "--concurrency", "1"]
    return subprocess.Popen(
        [*argv, *words],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_outcomes(folder: Path, count: int) -> None:
    import sqlite3
    from contextlib import closing

    def there() -> bool:
        path = folder / ".punie" / "punie.db"
        if not path.exists():
            return False
        with closing(sqlite3.connect(path)) as db:
            try:
                found: int = db.execute("SELECT count(*) FROM outcomes").fetchone()[0]
            except sqlite3.Error:
                return False
            return found >= count

    wait_for(there)


def wait_for(true: Any) -> None:
    """Until something holds; a minute at most."""
    import time

    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("columns", [40, 80])
def test_on_a_terminal_there_is_progress_and_colour(folder: Path, fake: Fake, columns: int) -> None:
    shown = on_a_terminal(folder, fake, columns)
    assert "\x1b[" in shown
    assert "letters" in shown
    plain = on_a_terminal(folder, fake, columns, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", plain))
    table = [line for line in lines if ".punie" not in line]
    assert max(len(line.rstrip()) for line in table) <= columns


def on_a_terminal(folder: Path, fake: Fake, columns: int, **env: str) -> str:
    master, slave = pty.openpty()
    argv = [*PUNIE, "eval", "mini.yaml", "--url", fake.url, "--model", "m"]
    variables = {**environment(TERM="xterm-256color", **env), "COLUMNS": str(columns)}
    variables.pop("NO_COLOR", None) if "NO_COLOR" not in env else None
    with subprocess.Popen(
        argv, cwd=folder, env=variables, stdin=slave, stdout=slave, stderr=slave
    ) as run:
        os.close(slave)
        parts: list[bytes] = []
        while True:
            ready, _, _ = select.select([master], [], [], 60)
            try:
                part = os.read(master, 65536) if ready else b""
            except OSError:
                break
            if not part:
                break
            parts.append(part)
        run.wait(timeout=60)
    os.close(master)
    return b"".join(parts).decode()

"""`punie doctor`: what it sees, what it never shows, and the selftest with the real server."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from fake_server import Behaviour, FakeServer
from punie.cli.environment import check_environment
from punie.errors import EXIT_GATE, EXIT_OK, EXIT_UNMEASURED
from punie.models.checkup import check_caches
from punie.records.checkup import Checkup, State, note, ok, problem
from punie.reporting.checkup import checkup_table, summary_line
from punie.serving.checkup import (
    check_endpoint,
    check_hub,
    check_proxies,
    check_servers,
    reach,
)
from punie.serving.registry import Kind, register
from punie.store.checkup import check_database, check_disk
from punie.store.database import open_database

CANARY = "sk-canary-7c1f0d"
KEY = "DOCTOR_TEST_KEY"


def doctor(
    folder: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNIE_", "OPENAI_", "HF_"))}
    # Servers of whoever else uses this machine are none of a test's business.
    own = {"COLUMNS": "80", "HF_HUB_OFFLINE": "1", "PUNIE_STATE": f"{folder}-state"}
    return subprocess.run(
        [sys.executable, "-m", "punie.cli.main", "doctor", *words],
        cwd=folder,
        env={**kept, **own, **(env or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def lines_of(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    envelope = json.loads(done.stdout)
    assert envelope["command"] == "doctor"
    return {line["name"]: line for line in envelope["data"]["lines"]}


def test_a_healthy_folder_has_no_problem_and_the_selftest_passes(
    tmp_path: Path, tiny_model: Path
) -> None:
    (tmp_path / "punie.toml").write_text(f'model = "{tiny_model}"\n')
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    done = doctor(tmp_path, "--selftest", "--json")
    lines = lines_of(done)
    assert done.returncode == EXIT_OK, done.stdout + done.stderr
    assert all(line["state"] != "problem" for line in lines.values())
    assert "4 prompts were asked and kept" in lines["selftest"]["found"]
    assert "mlx-lm" in lines["packages"]["found"]
    assert "computes on" in lines["mlx"]["found"]
    assert "are free" in lines["memory"]["found"]
    assert "HF_HUB_OFFLINE" in lines["hugging face hub"]["found"]
    assert "punie.toml" in lines["project"]["found"]
    assert {child.pid for child in psutil.Process().children(recursive=True)} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["punie.toml"]


def test_problems_are_named_with_what_mends_them(tmp_path: Path) -> None:
    (tmp_path / ".punie").mkdir()
    (tmp_path / ".punie" / "punie.db").write_bytes(b"this is no database, and long enough" * 40)
    (tmp_path / "punie.toml").write_text(
        f'model = "no/such"\n[endpoints.lab]\nurl = "http://127.0.0.1:9/v1"\nkey_env = "{KEY}"\n'
        '[endpoints.down]\nurl = "http://127.0.0.1:9/v1"\n'
    )
    (tmp_path / "cache").write_text("a file where the cache should be")
    env = {"PUNIE_CACHE": str(tmp_path / "cache" / "x"), "PUNIE_VLLM": "/nowhere/python"}
    done = doctor(tmp_path, env={**env, "NO_COLOR": "1"})
    said = " ".join(done.stdout.split())
    assert done.returncode == EXIT_GATE, said + done.stderr
    assert f"✗ problem endpoint lab http://127.0.0.1:9/v1: {KEY} is not set" in said
    assert f"→ export {KEY}=…" in said
    assert "cannot be reached (Connection refused)" in said
    assert "→ mv .punie/punie.db .punie/punie.db.broken" in said
    assert "export PUNIE_CACHE=FOLDER" in said
    assert "no/such" in said
    assert "✗ problem vllm there is no /nowhere/python → give the Python of an environment" in said
    assert "\x1b" not in done.stdout
    assert "6 problems" in done.stderr


def test_a_settings_file_that_cannot_be_read_is_a_line_too(tmp_path: Path) -> None:
    (tmp_path / "punie.toml").write_text("modle = 'x'\n")
    done = doctor(tmp_path, "--json")
    lines = lines_of(done)
    assert done.returncode == EXIT_GATE
    assert "did you mean model" in lines["settings"]["found"]
    assert lines["python"]["state"] == "ok"


def test_a_selftest_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = doctor(tmp_path, "--selftest", "--json", env={"PUNIE_CACHE": str(tmp_path / "file")})
    lines = lines_of(done)
    assert done.returncode == EXIT_UNMEASURED
    assert lines["selftest"]["state"] == "problem"
    assert str(tmp_path / "file") in lines["selftest"]["found"]


def run_fake(port_of: list[int], tmp_path: Path, *flags: str) -> subprocess.Popen[str]:
    fake = Path(__file__).with_name("fake_server.py")
    log = str(tmp_path / "requests.jsonl")
    server = subprocess.Popen(
        [sys.executable, str(fake), "--port", "0", "--log", log, *flags],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    port_of.append(json.loads(server.stdout.readline())["port"])
    return server


def test_a_key_is_shown_nowhere(tmp_path: Path) -> None:
    ports: list[int] = []
    project = tmp_path / "project"
    project.mkdir()
    with run_fake(ports, tmp_path) as server:
        (project / "punie.toml").write_text(
            f'[endpoints.lab]\nurl = "http://127.0.0.1:{ports[0]}/v1"\nkey_env = "{KEY}"\n'
            f'[endpoints.spilt]\nurl = "http://user:{CANARY}@127.0.0.1:9/v1"\n'
        )
        secrets = {
            KEY: CANARY,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{ports[0]}/v1",
            "OPENAI_API_KEY": CANARY,
            "HTTPS_PROXY": f"http://me:{CANARY}@127.0.0.1:9",
            "HF_TOKEN": CANARY,
        }
        outputs = [doctor(project, env=secrets), doctor(project, "--json", env=secrets)]
        server.kill()
    for done in outputs:
        assert CANARY not in done.stdout + done.stderr
        assert str(len(CANARY)) + " char" not in done.stdout
    lines = lines_of(outputs[1])
    assert lines["endpoint lab"]["state"] == "ok"
    assert f"{KEY} is set" in lines["endpoint lab"]["found"]
    assert lines["endpoint spilt"]["state"] == "problem"
    assert "HTTPS_PROXY" in lines["proxy"]["found"]
    for file in project.rglob("*"):
        if file.is_file() and file.name != "punie.toml":
            assert CANARY.encode() not in file.read_bytes()
    seen = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert {request["path"] for request in seen} == {"/v1/models"}


async def test_endpoints_are_asked_for_what_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setenv(KEY, CANARY)
    async with FakeServer(Behaviour(key=CANARY)) as server:
        found = await asyncio.to_thread(check_endpoint, "lab", server.url, key_env=KEY, model="m")
        elsewhere = server.url.replace("/v1", "/v9")
        lost = await asyncio.to_thread(check_endpoint, "lab", elsewhere, key_env=KEY, model=None)
        paths = [request.path for request in server.requests]
        credentials = [request.credential for request in server.requests]
    assert found.state is State.OK
    assert lost.state is State.NOTE
    assert paths == ["/v1/models", "/v9/models"]
    assert credentials[0] == "right"


def test_a_key_with_a_line_break_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, f"{CANARY}\n")
    line = check_endpoint("lab", "http://127.0.0.1:9/v1", key_env=KEY, model=None)
    assert line.state is State.PROBLEM
    assert CANARY not in line.found + line.mend
    assert "line break" in line.mend


def test_the_hub_may_be_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert check_hub(offline=False).state is State.NOTE
    monkeypatch.setenv("HF_ENDPOINT", f"file:///{CANARY}")
    assert check_hub(offline=False).state is State.PROBLEM
    assert CANARY not in check_hub(offline=False).found
    assert "unset HF_HUB_OFFLINE" in check_hub(offline=True).mend
    assert reach("http://127.0.0.1:9").why == "Connection refused"


def test_a_proxy_is_named_and_not_shown() -> None:
    assert check_proxies({}) is None
    line = check_proxies({"https_proxy": f"http://{CANARY}@p", "HTTP_PROXY": "http://p"})
    assert line is not None
    assert line.found.startswith("HTTP_PROXY, https_proxy set")
    assert CANARY not in line.found


def test_a_database_is_looked_at_and_left_alone(tmp_path: Path) -> None:
    assert "no .punie/punie.db yet" in check_database(tmp_path).found
    assert not (tmp_path / ".punie").exists()
    open_database(tmp_path).close()
    assert check_database(tmp_path).state is State.OK
    path = tmp_path / ".punie" / "punie.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    assert "newer punie" in check_database(tmp_path).found


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    db = open_database(tmp_path)
    db.execute("CREATE TABLE filler AS SELECT hex(zeroblob(500)) AS x")
    for _ in range(9):
        db.execute("INSERT INTO filler SELECT x FROM filler")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    path = tmp_path / ".punie" / "punie.db"
    content = bytearray(path.read_bytes())
    content[-40_000:-20_000] = b"\xff" * 20_000
    path.write_bytes(content)
    line = check_database(tmp_path)
    assert line.state is State.PROBLEM
    assert ".broken" in line.mend


def test_a_cache_that_is_a_file_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PUNIE_CACHE", str(tmp_path / "file"))
    assert check_caches()[0].state is State.PROBLEM
    monkeypatch.setenv("PUNIE_CACHE", str(tmp_path / "not yet"))
    assert check_caches()[0].state is State.OK
    (tmp_path / "not yet").mkdir()
    assert check_caches()[0].mend == "punie models pull"


def test_disk_is_measured_where_the_folder_will_be(tmp_path: Path) -> None:
    assert re.search(r"\d [MGT]B free", check_disk("disk", tmp_path / "not" / "yet").found)


def test_running_servers_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUNIE_STATE", str(tmp_path))
    assert check_servers()[0].state is State.OK
    registered = register(pid=os.getpid(), port=8080, model="tiny", adapter=None, project=tmp_path)
    assert registered is not None
    with registered:
        (line,) = check_servers()
    assert line.state is State.NOTE
    assert f"pid {os.getpid()}" in line.found


def test_a_punie_serve_is_one_line_and_nothing_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUNIE_STATE", str(tmp_path))
    about: dict[str, Any] = {"model": "tiny", "adapter": None, "project": tmp_path}
    behind = register(pid=os.getpid(), port=8080, **about)
    address = register(pid=os.getpid(), port=8081, kind=Kind.SERVE, **about)
    assert behind is not None
    assert address is not None
    with behind, address:
        (line,) = check_servers()
    assert line.state is State.OK
    assert line.found.startswith("punie serve: tiny on port 8081")
    assert f"since {address.entry.since_here}" in line.found


def test_a_server_that_was_left_behind_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUNIE_STATE", str(tmp_path))
    program = (
        "import sys; from pathlib import Path; from punie.serving.registry import register\n"
        "register(pid=int(sys.argv[1]), port=8080, model='tiny', adapter=None, project=Path())"
    )
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        subprocess.run([sys.executable, "-c", program, str(server.pid)], check=True)
        (line,) = check_servers()
        server.kill()
    assert line.state is State.PROBLEM
    assert line.mend == f"kill {server.pid}"
    assert check_servers()[0].state is State.OK


async def test_who_never_answers_is_not_waited_for() -> None:
    import asyncio

    async with FakeServer(Behaviour(fault="hang-all")) as server:
        line = await asyncio.to_thread(check_endpoint, "lab", server.url, key_env="", model=None)
    assert line.state is State.PROBLEM
    assert "no answer within 3 s" in line.found


def test_this_environment_fits_its_own_metadata() -> None:
    lines = check_environment()
    assert [line.name for line in lines if line.state is State.PROBLEM] == []
    assert lines[0].name == "python"


@pytest.mark.parametrize("width", [40, 60, 100])
def test_the_table_says_states_in_words(width: int) -> None:
    lines = [
        ok("python", "3.11"),
        note("proxy", "is set"),
        problem("cache", "cannot\x1b[31m be written " + "x" * 60, "export PUNIE_CACHE=FOLDER"),
    ]
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115,PTH123 - closed with the console
    with console.file:
        console.print(checkup_table(lines, width=width))
    shown = console.export_text()
    assert "✓ ok" in shown
    assert "· note" in shown
    assert "✗ problem" in shown
    assert "→ export PUNIE_CACHE=FOLDER" in " ".join(shown.split())
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= width


def test_the_last_line_counts() -> None:
    fine: list[Checkup] = [ok("a", "b")]
    assert summary_line(fine) == "no problem"
    assert summary_line([*fine, note("c", "d")]) == "no problem, 1 note"
    assert summary_line([problem("c", "d")]).startswith("1 problem;")

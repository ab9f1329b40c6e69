"""A key that must appear nowhere: not in a file, an output, an argument list or a child."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

CANARY = "sk-canary-7Zq/+="
PUNIE = [sys.executable, "-m", "punie.cli.main"]
SUITE = "name: mini\nprompts:\n" + "".join(
    f"  - {{id: p{i}, prompt: A, expect: {{exact: A}}}}\n" for i in range(3)
)
ANSWER = {
    "choices": [{"message": {"content": "A"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}


class Echo(BaseHTTPRequestHandler):
    """Answers the first request, then tells back the key that it got, as its server says to."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        assert isinstance(server, EchoServer)
        said = self.headers.get("Authorization", "")
        server.seen.add(said)
        server.asked += 1
        if server.asked <= server.good:
            self._send(200, json.dumps(ANSWER).encode())
            return
        key = said.removeprefix("Bearer ")
        status, kind, body = server.echo
        body = body.replace("KEY", key).replace("ESCAPED", json.dumps(key)[1:-1])
        self._send(status, body.encode(), kind, key)

    def do_GET(self) -> None:
        self._send(404, b"{}")

    def _send(
        self, status: int, body: bytes, kind: str = "application/json", key: str = ""
    ) -> None:
        self.send_response(status, f"Said {key}" if key else None)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if key:
            self.send_header("X-Your-Key", key)
            self.send_header("WWW-Authenticate", f'Bearer realm="{key}"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


class EchoServer(ThreadingHTTPServer):
    """`good` requests are answered, all later ones get `echo`: status, type, body."""

    good = 1
    asked = 0
    echo: tuple[int, str, str] = (401, "application/json", "{}")

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Echo)
        self.seen: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with EchoServer() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()


class Ended(NamedTuple):
    code: int
    said: str


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)  # provenance then runs git, a child
    (folder / "mini.yaml").write_text(SUITE)
    return folder


def punie(project: Path, *words: str, key: str = CANARY) -> Ended:
    """Run punie with the key in its environment, and look at all of its children meanwhile."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUNIE_", "OPENAI_"))}
    own = {
        "OPENAI_API_KEY": key,
        "HF_TOKEN": key,
        "PUNIE_DEBUG": "1",
        "PUNIE_CACHE": str(project.parent / "cache"),
    }
    with subprocess.Popen(
        [*PUNIE, *words],
        cwd=project,
        env={**kept, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        looked = threading.Thread(target=watch, args=(child.pid, said := []), daemon=True)
        looked.start()
        out, _ = child.communicate(timeout=120)
        looked.join(timeout=10)
    return Ended(child.returncode, out + "\n".join(said))


def watch(pid: int, said: list[str]) -> None:
    """Note what the process list shows of punie, and the environments of its children."""
    seen: set[int] = set()
    while psutil.pid_exists(pid):
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return
            own = process.cmdline()
            said.append(" ".join(own))
            for each in process.children(recursive=True):
                # Between fork and exec a child still looks like its parent.
                if each.pid not in seen and each.cmdline() != own:
                    environ = [f"{name}={value}" for name, value in each.environ().items()]
                    said.append("\n".join([*each.cmdline(), *environ]))
                    seen.add(each.pid)
        except psutil.Error:
            continue
        time.sleep(0.02)


def traces(folder: Path) -> list[str]:
    """Files and names that hold the canary, or a good part of it."""
    needles = [CANARY.encode(), b"canary", json.dumps(CANARY).encode()]
    return [
        str(path)
        for path in folder.rglob("*")
        if "canary" in path.name
        or (path.is_file() and any(needle in path.read_bytes() for needle in needles))
    ]


ECHOES = {
    "a refusal": (401, "application/json", '{"error": {"message": "Incorrect API key: KEY"}}'),
    "a quoted refusal": (401, "application/json", '{"error": {"message": "bad key \'ESCAPED\'"}}'),
    "a ban": (403, "text/plain", "KEY is banned; send Authorization: Bearer OTHER, not Bearer KEY"),
    "a page": (500, "text/html", "<h1>Bearer KEY</h1>" + "x" * 5000 + "KEY"),
    "a bad request": (400, "application/json", '{"error": {"KEY": "KEY", "message": "KEY"}}'),
    "no JSON": (200, "application/json", '{"choices": "KEY'),
    "another shape": (200, "application/json", '{"choices": [{"KEY": "KEY"}]}'),
    "a redirect": (307, "text/plain", "see KEY"),
}


@pytest.mark.parametrize(
    ("name", "good"),
    [*((name, 1) for name in ECHOES), ("a refusal", 0), ("a page", 0), ("no JSON", 0)],
)
def test_a_key_that_is_told_back_is_nowhere(
    name: str, good: int, server: EchoServer, project: Path
) -> None:
    server.good, server.echo = good, ECHOES[name]
    words = ("eval", "mini.yaml", "--url", server.url, "--model", "m")
    ended = punie(project, *words, "--journal", "g", "--output", "out/r.json")
    assert f"Bearer {CANARY}" in server.seen, "the key was used"
    assert ended.code in {1, 2, 5}, ended.said
    assert "canary" not in ended.said
    assert traces(project.parent) == []


LATER = [
    ("runs", "show", "last", "--json"),
    ("report", "last"),
    ("runs", "export", "last"),
    ("journal", "check"),
    ("config", "--json"),
]


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv"])
def test_a_good_key_is_nowhere(ending: str, server: EchoServer, project: Path) -> None:
    server.good = 100
    words = ("eval", "mini.yaml", "--url", server.url, "--model", "m", "--json")
    ended = punie(project, *words, "--journal", "g", "--output", f"r.{ending}")
    assert ended.code == 0, ended.said
    said = [ended.said]
    if ending == "json":
        for more in LATER:
            later = punie(project, *more)
            assert later.code in {0, 3}, later.said
            said.append(later.said)
    assert "canary" not in "\n".join(said)
    assert (project / f"r.{ending}").exists()
    assert list((project / "journal").rglob("run.json"))
    assert list((project / ".punie").rglob("report.html"))
    assert traces(project.parent) == []


def test_nobody_answers(project: Path) -> None:
    ended = punie(project, "eval", "mini.yaml", "--url", "http://127.0.0.1:9/v1", "--model", "m")
    assert ended.code == 5
    assert "canary" not in ended.said
    assert traces(project.parent) == []


def test_a_key_that_is_none_is_not_shown(server: EchoServer, project: Path) -> None:
    words = ("eval", "mini.yaml", "--url", server.url, "--model", "m")
    ended = punie(project, *words, key=f"{CANARY}\nX-Injected: 1")
    assert ended.code == 5
    assert not server.seen
    assert "canary" not in ended.said
    assert traces(project.parent) == []


def test_a_server_of_our_own_never_gets_it(tiny_model: Path, project: Path) -> None:
    ended = punie(project, "eval", "mini.yaml", "--model", str(tiny_model))
    assert ended.code in {0, 1}, ended.said
    assert "punie.backends.workers.serve" in ended.said, "the server was seen"
    assert "canary" not in ended.said
    assert list((project / ".punie").rglob("server.log"))
    assert traces(project.parent) == []

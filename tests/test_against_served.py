"""`punie eval --against` with real servers: the base, guards, and two servers at once."""

import json
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from made_adapter import make_adapter
from punie.backends.preflight import require_room_for_all
from punie.errors import ModelError
from punie.records.run import Run, RunStatus
from punie.store.runs import RunStore
from punie.suites.load import load_suite
from test_eval_command import PUNIE, environment

SUITE = "name: {name}\ndefaults: {{max_tokens: 6}}\nprompts:\n"
PROMPT = "  - {{id: p{i}, prompt: word {i} of {name}, expect: {{number: 7}}}}\n"
GATE = "name: g\nguards:\n  - {suite: guard, margin_points: 99}\n"


def write_suite(path: Path, name: str, prompts: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [PROMPT.format(i=i, name=name) for i in range(prompts)]
    path.write_text(SUITE.format(name=name) + "".join(lines))


@dataclass(frozen=True)
class Project:
    """A folder with a suite, an adapter and the model that it is for."""

    folder: Path
    model: Path

    def eval(self, *words: str, code: int = 0) -> dict[str, Any]:
        """The data of `punie eval mini.yaml --adapter one …`."""
        done = subprocess.run(
            self.argv(*words),
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        data: dict[str, Any] = json.loads(done.stdout)
        return data.get("data") or data["error"]

    def argv(self, *words: str) -> list[str]:
        model = ["--model", str(self.model)]
        return [*PUNIE, "eval", "mini.yaml", *model, "--adapter", "one", "--json", *words]

    def heads(self) -> list[Run]:
        with RunStore(self.folder) as store:
            return store.heads()


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    folder = tmp_path / "project"
    write_suite(folder / "mini.yaml", "mini", 12)
    write_suite(folder / "data" / "suites" / "guard.yaml", "guard", 8)
    (folder / "gates.yaml").write_text(GATE)
    make_adapter(tiny_model, folder / "adapters" / "one")
    return Project(folder, tiny_model)


def runs_of(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    first = data["comparison"]["comparisons"][0]
    return first["base"], first["current"]


def test_the_base_is_measured_once_and_found_again(project: Project) -> None:
    data = project.eval("--against", "base", "--gate", "gates.yaml")
    base, current = runs_of(data)
    assert (base["model"]["adapter"], current["model"]["adapter"]) == (None, "one")
    assert base["model"]["model_hash"] == current["model"]["model_hash"]
    assert current["id"] == data["run"]["id"]
    assert [each["current"]["suite_name"] for each in data["comparison"]["comparisons"]] == [
        "mini",
        "guard",
    ]
    assert not data["comparison"]["missing"]
    # Both arms of both suites, the one that was asked for last.
    kept = [(run.suite_name, run.model.adapter) for run in reversed(project.heads())]
    assert kept == [("guard", None), ("guard", "one"), ("mini", None), ("mini", "one")]

    again = project.eval("--against", "base", "--gate", "gates.yaml")
    assert runs_of(again)[0]["id"] == base["id"]
    assert again["run"]["id"] != data["run"]["id"]
    assert len(project.heads()) == 5

    # Asked in another way, the base is another measurement.
    shorter = project.eval("--against", "base", "--max-tokens", "3", "--concurrency", "2")
    other, ours = runs_of(shorter)
    assert other["id"] != base["id"]
    assert {other["sampling"]["max_tokens"], ours["sampling"]["max_tokens"]} == {3}
    assert {other["concurrency"], ours["concurrency"]} == {2}


def test_two_servers_are_timed_in_turns(project: Project) -> None:
    data = project.eval("--against", "base", "--latency")
    base, current = runs_of(data)
    assert (base["timed_with"], current["timed_with"]) == (current["id"], base["id"])
    assert base["concurrency"] == current["concurrency"] == 1
    assert base["summary"]["answered"] == current["summary"]["answered"] == 12
    latency = data["comparison"]["comparisons"][0]["latency"]
    assert latency["gates"], latency["why_not"]
    assert latency["n"] == 12
    assert latency["first_token_ratio"] > 0
    assert data["resume"] is None
    error = project.eval("--resume", current["id"], code=2)
    assert "side by side" in error["message"]

    # The model of a run is served again, and both are measured anew.
    third = project.eval("--against", base["id"], "--latency")
    other, _ = runs_of(third)
    assert other["id"] != base["id"]
    assert other["model"]["adapter"] is None
    assert other["model"]["model_hash"] == base["model"]["model_hash"]
    assert len(project.heads()) == 4


def cut_short(project: Project, *words: str) -> dict[str, Any]:
    """The data of an eval that gets Ctrl-C once the store has an answer."""
    started = subprocess.Popen(
        project.argv(*words),
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        while started.poll() is None and not answers(project):
            pass
        started.send_signal(signal.SIGINT)
        text, _ = started.communicate(timeout=120)
    finally:
        started.kill()
    assert started.returncode == 130
    data: dict[str, Any] = json.loads(text)["data"]
    assert data["comparison"] is None
    return data


def test_a_pair_that_is_cut_short_says_so_and_leaves_nothing_to_compare(project: Project) -> None:
    write_suite(project.folder / "mini.yaml", "mini", 400)
    data = cut_short(project, "--against", "base", "--latency")
    assert data["resume"] is None
    one, other = project.heads()
    assert {one.status, other.status} == {RunStatus.INTERRUPTED}
    assert one.summary is not None
    assert 0 < one.summary.prompts < 400


def test_a_base_that_is_cut_short_is_gone_on_with(project: Project) -> None:
    write_suite(project.folder / "mini.yaml", "mini", 300)
    began = cut_short(project, "--against", "base")["run"]
    assert began["model"]["adapter"] is None
    assert began["status"] == "interrupted"
    base, current = runs_of(project.eval("--against", "base"))
    assert base["id"] == began["id"]
    assert base["status"] == "done"
    assert base["summary"]["answered"] == current["summary"]["answered"] == 300
    assert len(project.heads()) == 2


def answers(project: Project) -> bool:
    """Whether the store has a first answer."""
    if not (project.folder / ".punie" / "punie.db").exists():
        return False
    with RunStore(project.folder) as store:
        return any(next(store.rows(run.id), None) for run in store.heads())


def test_a_model_that_is_another_by_now_is_not_timed(project: Project, tiny_model: Path) -> None:
    project.eval("--against", "base")
    ours = project.heads()[0]
    (project.folder / "adapters" / "one" / "adapters.safetensors").unlink()
    (project.folder / "adapters" / "one" / "adapter_config.json").unlink()
    (project.folder / "adapters" / "one").rmdir()
    make_adapter(tiny_model, project.folder / "adapters" / "one", seed=9)
    error = project.eval("--against", ours.id, "--latency", code=2)
    assert "is another by now" in error["message"]
    assert len(project.heads()) == 2


def test_both_models_must_fit_at_once(tiny_model: Path, tmp_path: Path) -> None:
    write_suite(tmp_path / "mini.yaml", "mini", 3)
    suite = load_suite(tmp_path / "mini.yaml")
    require_room_for_all([(tiny_model, None)], suite, free=600_000_000)
    with pytest.raises(ModelError, match=r"both models at once .* MB and .* MB") as caught:
        require_room_for_all([(tiny_model, None)] * 2, suite, free=300_000_000)
    assert "one after the other" in caught.value.hint

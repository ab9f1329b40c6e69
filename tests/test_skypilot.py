"""`punie train --emit skypilot`: SkyPilot's own parser takes the task, and it runs the same."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

from punie.cli.emitting import punie_there
from punie.errors import EXIT_GATE, EXIT_UNMEASURED, EXIT_USAGE, InputError
from punie.training.skypilot import GB, GPUS, gpus_for
from train_project import InProcess, Project, make_project, rows, write

SKYPILOT = "skypilot==0.14.1"
PARSE = """
import json, os, sys
os.chdir(sys.argv[1])
import sky
task = sky.Task.from_yaml(sys.argv[2])
task.validate_name()
task.validate_run()
task.expand_and_validate_file_mounts()
said = {
    "name": task.name, "run": task.run, "setup": task.setup, "mounts": task.file_mounts,
    "resources": sorted(map(repr, task.resources)),
}
print("parsed", json.dumps(said))
"""


GOAL = "it's \"quoted\": {a: 'b'}; $(touch owned) `touch owned`\n- #c and --more"


@dataclass(frozen=True)
class Written:
    """One task as the program writes it, of a project that says nothing but its model."""

    project: Project
    text: str
    notes: str

    @property
    def task(self) -> dict[str, Any]:
        return yaml.safe_load(self.text)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Written:
    project = make_project(tmp_path_factory.mktemp("sky"), tiny_model)
    words = ("train", "--emit", "skypilot", "--name", "My_one.2", "--journal", GOAL)
    done = project.punie(*words)
    return Written(project, done.stdout, done.stderr)


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Project:
    return make_project(tmp_path, tiny_model)


@pytest.fixture
def here(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> InProcess:
    return InProcess(project, monkeypatch, capsys)


@pytest.fixture(scope="session")
def sky_python(request: pytest.FixtureRequest) -> Path:
    """A python with SkyPilot: the one that the variable names; 1: one that is made, and kept."""
    named = os.environ.get("TEST_SKYPILOT")
    if not named:
        pytest.skip("TEST_SKYPILOT=1 installs SkyPilot into an environment of its own")
    if named != "1":
        return Path(named)
    assert request.config.cache
    folder = request.config.cache.mkdir("skypilot") / SKYPILOT.replace("==", "-")
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            # It is imported once: compiling all of its packages takes longer than installing them.
            pip = [python, "-m", "pip", "install", "--quiet", "--no-compile", SKYPILOT]
            subprocess.run(pip, check=True)
            (folder / "made").touch()
    return python


def task_of(here: InProcess, *words: str) -> dict[str, Any]:
    return here.json("train", "--emit", "skypilot", *words)["data"]["task"]


def command_of(task: dict[str, Any]) -> list[str]:
    return shlex.split(task["run"][task["run"].index("~/punie-venv") :])


def arguments_of(task: dict[str, Any]) -> dict[str, str]:
    """Options and their values; DATA under its own name."""
    words = command_of(task)[2:]
    options = [w for w in words[1:] if w != "--allow-leakage"]
    return {"DATA": words[0], **dict(zip(options[::2], options[1::2], strict=True))}


def test_what_the_project_decides_here_is_said_outright(written: Written, tiny_model: Path) -> None:
    task = written.task
    folder = "~/punie/My_one.2"
    assert task["name"] == "punie-my-one-2"
    assert arguments_of(task) == {
        "DATA": "data/colours",
        "--name": "My_one.2",
        "--model": "inputs/model/model",
        "--journal": GOAL,
        "--backend": "cuda",
    }
    assert task["resources"]["accelerators"] == dict.fromkeys(GPUS, 1)
    uploads = {k: v for k, v in task["file_mounts"].items() if k.startswith(f"{folder}/")}
    data = {f"data/colours/{part}.jsonl" for part in ("train", "valid")}
    model = {file.name for file in tiny_model.iterdir()}
    expected = {f"{folder}/{name}": f"./{name}" for name in data}
    expected |= {f"{folder}/inputs/model/model/{n}": str(tiny_model / n) for n in model}
    assert uploads == expected
    assert not written.project.made


def test_what_was_asked_for_reaches_the_command(here: InProcess) -> None:
    folder = here.project.folder
    (folder / "plans").mkdir()
    (folder / "plans" / "mine.yaml").write_text("dropout: 0.1\nname: other\n")
    suite = "name: manners\nprompts:\n  - {id: a, prompt: b, expect: {exact: c}}\n"
    (folder / "data" / "suites").mkdir()
    (folder / "data" / "suites" / "manners.yaml").write_text(suite)
    given = {"--rank": "3", "--learning-rate": "0.001", "--epochs": "2.0", "--layers": "1"}
    given |= {"--select-by": "manners", "--journal": "why not?", "--seed": "7"}
    words = [word for pair in given.items() for word in pair]
    task = task_of(here, "colours", *words, "--config", "plans/mine.yaml", "--allow-leakage")
    arguments = arguments_of(task)
    assert given.items() <= arguments.items()
    assert "--allow-leakage" in command_of(task)
    assert (arguments["--config"], arguments["--name"]) == ("plans/mine.yaml", "other")
    uploaded = {name.removeprefix("~/punie/other/") for name in task["file_mounts"]}
    assert {"plans/mine.yaml", "data/suites/manners.yaml"} <= uploaded


def test_files_outside_the_project_are_taken_along(here: InProcess, tmp_path: Path) -> None:
    data = tmp_path / "elsewhere" / "more.jsonl"
    write(data, rows()[:20])
    plan = tmp_path / "elsewhere" / "p.yaml"
    plan.write_text("rank: 2\n")
    task = task_of(here, str(data), "--config", str(plan))
    arguments = arguments_of(task)
    assert arguments["DATA"] == "inputs/data/more.jsonl"
    mounts = {k.removeprefix("~/punie/model-more/"): v for k, v in task["file_mounts"].items()}
    # `~` stands for the home that the project's environment names.
    assert mounts["inputs/data/more.jsonl"] == "~/elsewhere/more.jsonl"
    assert mounts[arguments["--config"]] == "~/elsewhere/p.yaml"
    assert not (here.project.folder / "data" / "more").exists()


def test_the_shell_there_gives_punie_the_same_words(written: Written, tmp_path: Path) -> None:
    punie = tmp_path / "punie-venv" / "bin" / "punie"
    punie.parent.mkdir(parents=True)
    punie.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "print(json.dumps([sys.argv[1:], os.getcwd(), os.listdir()]))\n"
    )
    punie.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", written.task["run"]],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    words, folder, there = json.loads(done.stdout)
    assert words[:2] == ["train", "data/colours"]
    assert words[words.index("--journal") + 1] == GOAL
    assert folder == str(tmp_path / "punie" / "My_one.2")
    assert there == [".punie"]  # it is a project, and nothing was touched


def test_yaml_and_notes_say_how_it_is_used(written: Written, tiny_model: Path) -> None:
    model = os.path.relpath(tiny_model, written.project.folder)
    for command in (
        f"punie eval --adapter My_one.2 --model {model}",
        "sky launch -c punie-my-one-2 task.yaml",
        "rsync -a punie-my-one-2:punie/My_one.2/adapters/My_one.2 adapters/",
        "rsync -a punie-my-one-2:punie/My_one.2/journal .",
        "sky down punie-my-one-2",
    ):
        assert command in written.text
        assert command in written.notes
    assert "any of these will do: L4, A10G" in written.notes


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--dry-run",), "--dry-run cannot be given"),
        (("--resume", "a"), "--resume cannot be given"),
        (("--resume", "a", "--finish"), "--resume, --finish cannot be given"),
        (("--backend", "mlx"), "not for mlx"),
        (("nowhere",), "there is no dataset 'nowhere'"),
        (("--journal", " "), "the goal of a journal entry is empty"),
        (("--name", "../x"), "name"),
    ],
)
def test_what_cannot_be_emitted_is_refused(
    words: tuple[str, ...], what: str, here: InProcess
) -> None:
    done = here("train", "--emit", "skypilot", *words, code=EXIT_USAGE)
    assert what in done.stderr
    assert "hint" in done.stderr or what == "name" or "goal" in what
    assert not done.stdout
    assert not here.project.made


def test_defects_in_the_data_are_found_before_a_machine_is_paid_for(here: InProcess) -> None:
    folder = here.project.folder / "data" / "colours"
    shutil.copyfile(folder / "train.jsonl", folder / "valid.jsonl")
    done = here("train", "--emit", "skypilot", code=EXIT_GATE)
    assert "valid.jsonl" in done.stderr
    assert not here.project.made


def test_a_model_that_is_not_here_is_refused(here: InProcess) -> None:
    done = here("train", "--emit", "skypilot", "--model", "./none", code=EXIT_UNMEASURED)
    assert "there is no file or folder ./none" in done.stderr


def test_the_gpu_has_room_for_the_estimate_and_more() -> None:
    assert gpus_for(GB) == tuple(GPUS)
    assert gpus_for(19 * GB) == tuple(GPUS)
    assert gpus_for(20 * GB) == tuple(name for name in GPUS if name not in {"L4", "A10G"})
    assert gpus_for(70 * GB) == ("H200", "B200")
    assert gpus_for(None) == ("A100-80GB", "H100", "H200", "B200")
    with pytest.raises(InputError, match="the largest that punie asks for has 180 GB"):
        gpus_for(150 * GB)


def distribution(folder: Path, direct_url: object = None) -> Distribution:
    info = folder / "punie-7.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: punie\nVersion: 7\n")
    if direct_url:
        (info / "direct_url.json").write_text(json.dumps(direct_url))
    return Distribution.at(info)


def test_the_same_punie_is_installed_there(tmp_path: Path) -> None:
    assert punie_there(distribution(tmp_path / "a")) == ("punie[cuda]==7", {})
    commit = {"url": "https://x.org/p.git", "vcs_info": {"vcs": "git", "commit_id": "ab"}}
    found = punie_there(distribution(tmp_path / "b", commit))
    assert found == ("punie[cuda] @ git+https://x.org/p.git@ab", {})
    checkout = tmp_path / "check out"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    local = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    requirement, source = punie_there(distribution(tmp_path / "c", local))
    assert requirement == "~/punie-source[cuda]"
    assert source["src"] == str(checkout / "src")


def test_skypilots_own_parser_takes_the_task(
    written: Written, sky_python: Path, tmp_path: Path
) -> None:
    folder, task = written.project.folder, written.task
    file = tmp_path / "task.yaml"
    file.write_text(written.text, encoding="utf-8")
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    env |= {"SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    done = subprocess.run(
        [sky_python, "-c", PARSE, folder, file],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout.partition("parsed ")[2].splitlines()[0])
    assert (said["name"], said["run"], said["setup"]) == (task["name"], task["run"], task["setup"])
    # Without a network nobody knows of a cloud that has one.
    assert said["resources"] == sorted(f"<Cloud>({ {name: 1} })" for name in GPUS)
    mounts = said["mounts"]
    assert mounts.keys() == task["file_mounts"].keys()
    assert mounts["~/punie/My_one.2/data/colours/train.jsonl"] == str(
        folder / "data" / "colours" / "train.jsonl"
    )


def test_several_processes_have_a_gpu_each(here: InProcess) -> None:
    task = task_of(here, "--processes", "3", "--batch-size", "3")
    assert task["resources"]["accelerators"] == dict.fromkeys(GPUS, 3)
    assert arguments_of(task)["--processes"] == "3"

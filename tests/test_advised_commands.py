"""Commands that a sentence advises: a shell and punie take them as they stand."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compared_project import add_run
from in_process import Command, command_in
from made_adapter import make_adapter
from punie.analysis.measure_command import in_shell, measure_command
from punie.analysis.same import same_model
from punie.cli.against_plan import Aim, Plan, planned
from punie.cli.eval import VERSUS, eval_command
from punie.cli.other_run import asked_as_wished
from punie.cli.planned_run import PlannedRun, planned_run
from punie.cli.wish import Wish
from punie.records.run import Run, Sources
from punie.settings import load_settings
from punie.store.runs import RunStore

SIZE = 40
WORSE, BETTER = "1" * SIZE, "0" * SIZE
GATE = "guards:\n  - {suite: manners, margin_points: 5}\n"
URL = "http://127.0.0.1:9/v1;a"


def suite_text(name: str) -> str:
    prompts = [f"  - {{id: p{i}, prompt: q{i}, expect: {{exact: q{i}}}}}" for i in range(SIZE)]
    return "\n".join([f"name: {name}", "prompts:", *prompts, ""])


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a home with blanks: two suites, a gate, a model, an adapter."""
    home = tmp_path / "at home"
    root = home / "a project"
    (root / "data" / "suites").mkdir(parents=True)
    (root / "my suite.yaml").write_text(suite_text("desk"))
    (root / "data" / "suites" / "manners.yaml").write_text(suite_text("manners"))
    (root / "gates.yaml").write_text(GATE)
    (home / "my model").symlink_to(tiny_model)
    make_adapter(tiny_model, home / "my adapter")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def punie(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    return command_in(folder, monkeypatch, capsys)


def keep(
    folder: Path, marks: str, run_id: str, *, adapter: str | None = None, url: str | None = None
) -> Run:
    """A run as `punie eval` would have left it: what was asked, and where its parts lay."""
    model = str(Path("~/my model").expanduser())
    wish = Wish(
        suite="my suite.yaml",
        model="a model; rm -rf ~" if url else model,
        adapter=Path(adapter).expanduser() if adapter else None,
        url=url,
        quiet=True,
    )
    arm = planned_run(wish, load_settings(folder), asked_as_wished(wish, load_settings(folder)))
    run = add_run(folder, arm.suite, marks, run_id=run_id, tools_mode=arm.tools_mode)
    lay = Sources(suite="~/a project/my suite.yaml", model="~/my model", adapter=adapter, url=url)
    run = run.model_copy(update={"model": arm.model, "sources": lay})
    with RunStore(folder) as store:
        store.update(run)
    return run


def advised(told: str) -> Iterator[dict[str, Any]]:
    """The options of every `punie eval` in what was told, as a shell hands them over."""
    for part in " ".join(told.split()).split("punie eval ")[1:]:
        command = part.split("; punie")[0].removesuffix("; ")
        split = ["bash", "-c", f'printf "%s\\0" {command}']
        done = subprocess.run(split, capture_output=True, text=True, check=True)
        words = done.stdout.split("\0")[:-1]
        yield eval_command.make_context("eval", words).params


def plan_of(folder: Path, options: dict[str, Any]) -> Plan:
    versus = {name: options.pop(name) for name in VERSUS}
    options.pop("as_json")
    return planned(Wish(**options, quiet=True), load_settings(folder), Aim(**versus))


def alone(folder: Path, options: dict[str, Any]) -> PlannedRun:
    settings = load_settings(folder)
    assert options["against"] is None
    flags = {name: each for name, each in options.items() if name not in (*VERSUS, "as_json")}
    wish = Wish(**flags, quiet=True)
    return planned_run(wish, settings, asked_as_wished(wish, settings))


def measure_next(punie: Command, *arguments: str) -> str:
    """The line of the decision that says how times are compared."""
    decision = punie("compare", *arguments, "--json").data["compared"][0]["decision"]
    return next(line for line in decision["measure_next"] if "requests are faster" in line)


def test_how_two_models_of_this_machine_are_timed(folder: Path, punie: Command) -> None:
    base = keep(folder, WORSE, "base-run")
    current = keep(folder, BETTER, "current-run", adapter="~/my adapter")
    (options,) = advised(measure_next(punie, base.id, current.id))
    plan = plan_of(folder, options)
    assert plan.aim.latency
    assert plan.base is not None
    assert same_model(plan.base.model, base.model)
    assert same_model(plan.current.model, current.model)


def test_no_command_times_a_url(folder: Path, punie: Command) -> None:
    base = keep(folder, WORSE, "base-run", url=URL)
    current = keep(folder, BETTER, "current-run", url=URL)
    assert not list(advised(measure_next(punie, base.id, current.id)))


def missing(punie: Command, *arguments: str) -> str:
    (told,) = punie("compare", *arguments, "--gate", "gates.yaml", "--json").data["compared"][0][
        "missing"
    ]
    return told


def test_a_suite_of_the_gate_for_an_adapter_and_its_model(folder: Path, punie: Command) -> None:
    base = keep(folder, WORSE, "base-run")
    current = keep(folder, BETTER, "current-run", adapter="~/my adapter")
    (options,) = advised(missing(punie, base.id, current.id))
    plan = plan_of(folder, options)
    assert plan.current.suite.name == "manners"
    assert plan.base is not None
    assert same_model(plan.base.model, base.model)
    assert same_model(plan.current.model, current.model)


@pytest.mark.parametrize("url", [None, URL])
def test_a_suite_of_the_gate_for_two_models(folder: Path, punie: Command, url: str | None) -> None:
    base = keep(folder, WORSE, "base-run", adapter="~/my adapter")
    current = keep(folder, BETTER, "current-run", url=url)
    both = [alone(folder, each) for each in advised(missing(punie, base.id, current.id))]
    assert [each.suite.name for each in both] == ["manners", "manners"]
    assert same_model(both[0].model, base.model)
    assert same_model(both[1].model, current.model)


@pytest.mark.parametrize(("url", "adapter"), [(None, "~/my adapter"), (URL, None)])
def test_repeats_of_what_was_asked_once(
    folder: Path, punie: Command, url: str | None, adapter: str | None
) -> None:
    run = keep(folder, WORSE, "the-run", url=url, adapter=adapter)
    (options,) = advised(punie("consistency", run.id).err.split("`")[0])
    assert options["repeats"] == 8
    arm = alone(folder, options)
    assert arm.suite.name == "desk"
    assert same_model(arm.model, run.model)


def test_a_configured_endpoint_stays_configured(folder: Path) -> None:
    run = keep(folder, WORSE, "the-run", url=URL)
    assert run.sources is not None
    lab = run.model_copy(update={"sources": run.sources.model_copy(update={"url": None})})
    assert "--backend endpoint --model" in measure_command(lab)


def test_a_word_is_a_word_whatever_it_holds() -> None:
    assert in_shell(["a b", "~/c d", "~", "$(x)"]) == "'a b' ~/'c d' '~' '$(x)'"

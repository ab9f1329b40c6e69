"""Routes as a file: the evidence beside each role, and back again."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from punie.errors import InputError
from punie.gates.routes import read_routes, routes_yaml
from punie.records.gate import Action, Decision, Route
from punie.records.routes import RoutedModel
from punie.records.run import Run
from test_decision import a_run

BASE, CURRENT = a_run("base-run"), a_run("current-run", adapter="greenhouse")


def a_decision(*routes: Route) -> Decision:
    return Decision(action=Action.HYBRID, because="Some gain.\nOthers lose.", routes=routes)


def a_route(role: str, *, sure: bool = True) -> Route:
    return Route(role=role, serves="current" if sure else "base", why="+1.0 points", sure=sure)


def read_back(text: str, folder: Path) -> dict[str, str]:
    path = folder / "routes.yaml"
    path.write_text(text, encoding="utf-8")
    routes = read_routes(path)
    assert routes.base == RoutedModel(model="a-model", run="base-run")
    assert routes.current == RoutedModel(model="a-model", adapter="greenhouse", run="current-run")
    return dict(routes.routes)


def test_every_role_has_its_evidence_above_it(tmp_path: Path):
    text = routes_yaml(a_decision(a_route("coder"), a_route("planner", sure=False)), BASE, CURRENT)
    assert text.endswith(
        "default: base\n"
        "routes:\n"
        "  # +1.0 points\n"
        "  coder: current\n"
        "  # the better guess, +1.0 points\n"
        "  planner: base\n"
    )
    assert text.startswith("# Decision: hybrid. Some gain. Others lose.\n")
    assert read_back(text, tmp_path) == {"coder": "current", "planner": "base"}


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, unique=True)
)
def test_any_role_comes_back_as_it_is(tmp_path_factory: pytest.TempPathFactory, roles: list[str]):
    decision = a_decision(*map(a_route, roles))
    folder = tmp_path_factory.mktemp("routes")
    assert list(read_back(routes_yaml(decision, BASE, CURRENT), folder)) == roles


@pytest.mark.parametrize(
    "role", ["null", "yes", "1", "a: b", "#", "- x", "\x85", "\u2028", "🌿", '"']
)
def test_roles_that_yaml_would_read_as_something_else(tmp_path: Path, role: str):
    assert list(read_back(routes_yaml(a_decision(a_route(role)), BASE, CURRENT), tmp_path)) == [
        role
    ]


def test_without_roles_there_is_no_file():
    with pytest.raises(InputError, match="no prompt of these runs has a role"):
        routes_yaml(a_decision(), BASE, CURRENT)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("coder: current", "coder: both", "routes.yaml:12:10 routes.coder: should be 'current'"),
        ("default: base", "defualt: base", "routes.yaml:9:1 defualt: unknown key"),
        ('  run: "base-run"\n', "", "base.run: is missing"),
        ("routes:", "routes: [", "routes.yaml:"),
        ("base:", "base: ", ""),
    ],
)  # fmt: skip
def test_a_file_that_somebody_changed(tmp_path: Path, old: str, new: str, said: str):
    path = tmp_path / "routes.yaml"
    text = routes_yaml(a_decision(a_route("coder")), BASE, CURRENT)
    assert old in text
    path.write_text(text.replace(old, new, 1))
    if not said:
        assert read_routes(path).routes == {"coder": "current"}
        return
    with pytest.raises(InputError) as refused:
        read_routes(path)
    assert said in refused.value.message


def test_the_run_of_another_model_is_named(tmp_path: Path):
    model = CURRENT.model.model_copy(update={"name": "org/a model: 7B", "adapter": None})
    other: Run = CURRENT.model_copy(update={"model": model})
    path = tmp_path / "routes.yaml"
    path.write_text(routes_yaml(a_decision(a_route("coder")), BASE, other))
    assert read_routes(path).current == RoutedModel(model="org/a model: 7B", run="current-run")

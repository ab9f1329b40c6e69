"""Routes as a file: the evidence beside each role, for any reader of YAML."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from punie.errors import InputError
from punie.gates.routes import routes_yaml
from punie.records.gate import Action, Decision, Route
from punie.records.run import Run
from test_decision import a_run

BASE, CURRENT = a_run("base-run"), a_run("current-run", adapter="greenhouse")


def a_decision(*routes: Route) -> Decision:
    return Decision(action=Action.HYBRID, because="Some gain.\nOthers lose.", routes=routes)


def a_route(role: str, *, sure: bool = True) -> Route:
    return Route(role=role, serves="current" if sure else "base", why="+1.0 points", sure=sure)


def read_back(text: str) -> list[tuple[str, str]]:
    """The roles in their order, as any reader of YAML finds them."""
    routes = yaml.safe_load(text)
    assert routes["base"] == {"model": "a-model", "run": "base-run"}
    assert routes["current"] == {
        "model": "a-model",
        "adapter": "greenhouse",
        "run": "current-run",
    }
    assert routes["default"] == "base"
    return list(routes["routes"].items())


def test_every_role_has_its_evidence_above_it():
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
    assert read_back(text) == [("coder", "current"), ("planner", "base")]


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, unique=True)
)
def test_any_role_comes_back_as_it_is(roles: list[str]):
    decision = a_decision(*map(a_route, roles))
    found = read_back(routes_yaml(decision, BASE, CURRENT))
    assert found == [(role, "current") for role in roles]


@pytest.mark.parametrize(
    "role", ["null", "yes", "1", "a: b", "#", "- x", "\x85", "\u2028", "🌿", '"']
)
def test_roles_that_yaml_would_read_as_something_else(role: str):
    found = read_back(routes_yaml(a_decision(a_route(role)), BASE, CURRENT))
    assert found == [(role, "current")]


def test_without_roles_there_is_no_file():
    with pytest.raises(InputError, match="no prompt of these runs has a role"):
        routes_yaml(a_decision(), BASE, CURRENT)


def test_the_run_of_another_model_is_named():
    model = CURRENT.model.model_copy(update={"name": "org/a model: 7B", "adapter": None})
    other: Run = CURRENT.model_copy(update={"model": model})
    found = yaml.safe_load(routes_yaml(a_decision(a_route("coder")), BASE, other))
    assert found["current"] == {"model": "org/a model: 7B", "run": "current-run"}

"""Gate files: what they say, and the place of everything that is wrong with them."""

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from punie.errors import InputError
from punie.gates.default import default_gates
from punie.gates.find import find_gates
from punie.gates.read import read_gates
from punie.records.gate import Criteria, Gates, JudgeGate, LatencyGate, SliceGate, SuiteGate
from run_pairs import a_run, adapted

WHOLE = """\
name: release
targets:
  - suite: own
    minimum_gain_points: 10
    slices:
      - role: coder
        floor_percent: 80
      - {category: tool_calling, minimum_gain_points: 0}
      - {tag: hard, margin_points: 10}
guards:
  - suite: baseline
    margin_points: 5
    floor_percent: 60
  - {suite: others, margin_points: 3.5}
must_pass: false
latency: {average_s: 12, median_s: 8.5, slower_percent: 10}
memory_gb: 10
judge: {win_rate_percent: 50, score_percent: 70}
criteria: {code_roles: [coder, tester, reviewer], role_floor_percent: 75}
weights: {tool_calling: 2, reasoning: 1, chat: 0}
"""


def read(tmp_path: Path, text: str) -> Gates:
    """Read this text as a gate file."""
    file = tmp_path / "gates.yaml"
    file.write_text(text, encoding="utf-8")
    return read_gates(file)


def refusal(tmp_path: Path, text: str) -> str:
    """Why this text is refused, without the folder in front."""
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert caught.value.exit_code == 2
    assert caught.value.hint.endswith(
        "keys: name, targets, guards, must_pass, latency, judge, memory_gb, criteria, weights"
    )
    return caught.value.message.replace(f"{tmp_path}/", "")


def test_every_key_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    assert found.name == "release"
    assert found.targets == (
        SuiteGate(
            suite="own",
            minimum_gain_points=10,
            slices=(
                SliceGate(role="coder", floor_percent=80),
                SliceGate(category="tool_calling", minimum_gain_points=0),
                SliceGate(tag="hard", margin_points=10),
            ),
        ),
    )
    assert found.guards == (
        SuiteGate(suite="baseline", margin_points=5, floor_percent=60),
        SuiteGate(suite="others", margin_points=3.5),
    )
    assert not found.must_pass
    assert found.latency == LatencyGate(average_s=12, median_s=8.5, slower_percent=10)
    assert found.memory_gb == 10
    assert found.judge == JudgeGate(win_rate_percent=50, score_percent=70)
    assert found.criteria == Criteria(
        code_roles=("coder", "tester", "reviewer"), role_floor_percent=75
    )
    assert found.weights == {"tool_calling": 2, "reasoning": 1, "chat": 0}
    assert found.source == str(tmp_path / "gates.yaml")


def test_a_gate_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    assert read(tmp_path, "memory_gb: 10\n").name == "gates"


def test_the_hash_follows_what_is_asked_and_not_how_it_is_written(tmp_path: Path) -> None:
    one = read(tmp_path, "memory_gb: 10\nguards:\n- {suite: a, margin_points: 5}\n")
    same = read(tmp_path, "guards: [{margin_points: 5.0, suite: a}]  # why\nmemory_gb: 10.0\n")
    more = read(tmp_path, "memory_gb: 11\nguards:\n- {suite: a, margin_points: 5}\n")
    assert len(one.hash) == 64
    assert one.hash == same.hash
    assert one.hash != more.hash


MALFORMED = {
    "a judge that is asked nothing": ("judge: {}\n", "asks for nothing: give one of targets,"),
    "a judge with empty bounds": (
        "judge: {win_rate_percent: null}\n",
        "gates.yaml:1:8 judge: asks for nothing",
    ),
    "a win rate as a share": (
        "judge: {win_rate: 0.5}\n",
        "gates.yaml:1:9 judge.win_rate: unknown key; write win_rate_percent: 50",
    ),
    "a win rate of 1 at most": (
        "judge: {win_rate_percent: 0.6}\n",
        "judge.win_rate_percent: 0.6 is not a share of 1: write win_rate_percent: 60",
    ),
    "marks without their unit": ("judge: {score: 70}\n", "judge.score: unknown key; write score_p"),
    "a win rate that nobody has": (
        "judge: {win_rate_percent: 100}\n",
        "gates.yaml:1:27 judge.win_rate_percent: cannot be met: the lower bound of a win rate",
    ),
    "a score that all have": (
        "judge: {score_percent: 0}\n",
        "judge.score_percent: allows every score: leave it out",
    ),
    "nothing at all": ("", "gates.yaml:1:1: the file is empty"),
    "a comment alone": ("# soon\n", "gates.yaml:1:1: the file is empty"),
    "an empty mapping": ("{}\n", "gates.yaml:1:1: asks for nothing: give one of targets,"),
    "a name alone": ("name: x\n", "gates.yaml:1:1: asks for nothing: give one of targets,"),
    "empty lists": ("targets: []\nguards: []\n", "asks for nothing: give one of targets,"),
    "a list": ("- suite: a\n", "gates.yaml:1:1: should be a mapping of keys"),
    "a text": ("go\n", "gates.yaml:1:1: should be a mapping of keys"),
    "no YAML": ("targets: [\n", "gates.yaml:2:1:"),
    "a tab": ("targets:\n\t- suite: a\n", "indent with spaces, not tabs"),
    "an alias": ("a: &x 1\nb: *x\n", "anchors (&name) and tags (!name) are not supported"),
    "a key twice": ("memory_gb: 1\nmemory_gb: 2\n", "gates.yaml:2:1 memory_gb: this key stands"),
    "a misspelled key": ("memroy_gb: 10\n", "gates.yaml:1:1 memroy_gb: unknown key; did you mean"),
    "a foreign key": ("memory_gb: 1\nzebra: 1\n", "gates.yaml:2:1 zebra: unknown key; known: name"),
    "a record's own field": ("memory_gb: 1\nhash: abc\n", "gates.yaml:2:1 hash: unknown key"),
    "a share as margin": (
        "guards:\n  - suite: a\n    margin: 0.05\n",
        "gates.yaml:3:5 guards[0].margin: unknown key; write margin_points: 5",
    ),
    "a margin beyond all numbers": (
        f"guards:\n  - suite: a\n    margin: {'9' * 401}\n",
        "guards[0].margin: unknown key; write margin_points (the unit stands in the name)",
    ),
    "a quoted margin beyond all numbers": (
        f"guards:\n  - suite: a\n    margin: '{'9' * 401}'\n",
        "guards[0].margin: unknown key; write margin_points (the unit stands in the name)",
    ),
    "no name": ("name: ''\n", "gates.yaml:1:7 name: string should have at least 1 character"),
    "a name like a page": (
        f"name: {'n' * 100_000}\n",
        "gates.yaml:1:7 name: string should have at most 200 characters",
    ),
    "a margin without its unit": (
        "guards:\n  - suite: a\n    margin: 5\n",
        "gates.yaml:3:5 guards[0].margin: unknown key; write margin_points: 5",
    ),
    "a margin with a percent sign": (
        "guards:\n  - suite: a\n    margin: 5%\n",
        "guards[0].margin: unknown key; write margin_points: 5",
    ),
    "a margin that is no number": (
        "guards:\n  - suite: a\n    margin: small\n",
        "guards[0].margin: unknown key; write margin_points (the unit stands in the name)",
    ),
    "a share in points": (
        "guards: [{suite: a, margin_points: 0.05}]\n",
        "guards[0].margin_points: 0.05 is not a share of 1: write margin_points: 5",
    ),
    "a share in percent": (
        "guards: [{suite: a, floor_percent: 0.98}]\n",
        "guards[0].floor_percent: 0.98 is not a share of 1: write floor_percent: 98",
    ),
    "a success rate": (
        "guards: [{suite: a, success_rate: 0.98}]\n",
        "guards[0].success_rate: unknown key; write floor_percent: 98",
    ),
    "a floor without its unit": (
        "targets: [{suite: a, slices: [{role: coder, floor: 80}]}]\n",
        "targets[0].slices[0].floor: unknown key; write floor_percent: 80",
    ),
    "a gain without its unit": (
        "targets: [{suite: a, min_gain: 3}]\n",
        "targets[0].min_gain: unknown key; write minimum_gain_points: 3",
    ),
    "milliseconds": ("latency: {average_ms: 12000}\n", "unknown key; write average_s: 12"),
    "seconds without their unit": ("latency: {average: 12s}\n", "write average_s: 12"),
    "megabytes": ("memory_mb: 8000\n", "gates.yaml:1:1 memory_mb: unknown key; write memory_gb: 8"),
    "memory without its unit": ("memory: 10GB\n", "memory: unknown key; write memory_gb: 10"),
    "a floor above 100": (
        "guards: [{suite: a, floor_percent: 101}]\n",
        "guards[0].floor_percent: should be less than or equal to 100, not 101",
    ),
    "a floor of 100": (
        "guards: [{suite: a, floor_percent: 100}]\n",
        "guards[0].floor_percent: cannot be met: the lower bound of a score is below 100 %",
    ),
    "a floor of 0": (
        "guards: [{suite: a, floor_percent: 0}]\n",
        "guards[0].floor_percent: allows every score",
    ),
    "a margin of 100": (
        "guards: [{suite: a, margin_points: 100}]\n",
        "guards[0].margin_points: allows every loss",
    ),
    "a gain of 100": (
        "targets: [{suite: a, minimum_gain_points: 100}]\n",
        "targets[0].minimum_gain_points: cannot be met",
    ),
    "a negative margin": (
        "guards: [{suite: a, margin_points: -5}]\n",
        "guards[0].margin_points: should be greater than or equal to 0, not -5",
    ),
    "a number as text": (
        'guards: [{suite: a, margin_points: "5"}]\n',
        "guards[0].margin_points: should be a valid number, not '5'",
    ),
    "margin and gain": (
        "targets: [{suite: a, margin_points: 5, minimum_gain_points: 1}]\n",
        "targets[0].margin_points: stands beside minimum_gain_points",
    ),
    "margin and gain of a slice": (
        "targets: [{suite: a, slices: [{tag: x, margin_points: 5, minimum_gain_points: 1}]}]\n",
        "targets[0].slices[0].margin_points: stands beside minimum_gain_points",
    ),
    "a target that is a guard": (
        "targets: [{suite: a, floor_percent: 50}]\nguards: [{suite: a, margin_points: 5}]\n",
        "gates.yaml:2:18 guards[0].suite: a is a target and a guard",
    ),
    "a suite twice": (
        "guards: [{suite: a, margin_points: 5}, {suite: a, floor_percent: 50}]\n",
        "guards[1].suite: a stands in guards a second time",
    ),
    "a slice twice": (
        "guards: [{suite: a, slices: [{tag: x, margin_points: 5}, {tag: x, margin_points: 4}]}]\n",
        "guards[0].slices[1]: tag x stands here a second time",
    ),
    "a slice with two names": (
        "guards: [{suite: a, slices: [{role: coder, tag: x, margin_points: 5}]}]\n",
        "guards[0].slices[0]: names role and tag: name one category, one role or one tag",
    ),
    "a slice without a name": (
        "guards: [{suite: a, slices: [{margin_points: 5}]}]\n",
        "guards[0].slices[0]: names nothing",
    ),
    "a slice without a bound": (
        "guards: [{suite: a, slices: [{role: coder}]}]\n",
        "guards[0].slices[0]: asks for nothing: give one of margin_points",
    ),
    "a suite without a bound": (
        "guards:\n  - suite: a\n",
        "gates.yaml:2:5 guards[0]: asks for nothing: give one of margin_points",
    ),
    "a bound without a suite": (
        "guards:\n  - margin_points: 5\n",
        "gates.yaml:2:5 guards[0].suite: is missing",
    ),
    "a suite without a name": (
        "guards: [{suite: '', margin_points: 5}]\n",
        "guards[0].suite: should name a suite, or be own or others",
    ),
    "a suite that is a number": (
        "guards: [{suite: 5, margin_points: 5}]\n",
        "guards[0].suite: should be a valid string, not 5",
    ),
    "a name in place of a list": ("guards: baseline\n", "guards: should be a valid"),
    "an entry that is a text": ("guards: [baseline]\n", "guards[0]: should be a mapping"),
    "times without a bound": ("latency: {}\n", "gates.yaml:1:1: asks for nothing"),
    "times of none": ("latency: {average_s: null}\n", "latency: asks for nothing"),
    "no time": ("latency: {average_s: 0}\n", "average_s: should be greater than 0, not 0"),
    "no memory": ("memory_gb: 0\n", "memory_gb: should be greater than 0, not 0"),
    "yes for true": ("must_pass: yes\n", "must_pass: should be a valid boolean, not 'yes'"),
    "two role bounds": (
        "criteria: {role_floor_percent: 80, role_margin_points: 5}\n",
        "criteria.role_margin_points: stands beside role_floor_percent",
    ),
    "a role's bound without its unit": (
        "criteria: {role_floor: 0.8}\n",
        "criteria.role_floor: unknown key; write role_floor_percent: 80",
    ),
    "weights of nothing": ("weights: {a: 0, b: 0}\n", "weights: should have a weight above 0"),
    "a negative weight": ("weights: {a: -1}\n", "weights.a: should be greater than or equal to 0"),
    "an endless number": ("memory_gb: 1e999\n", "memory_gb: this number is too large"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_at_its_place(tmp_path: Path, case: str) -> None:
    text, expected = MALFORMED[case]
    assert expected in refusal(tmp_path, text)


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
targets:
  - suite: own
    margin: 5
  - suite: own
    minimum_gain_points: 200
guards:
  - margin_points: 0.05
    slices: [{role: a, category: b, floor_percent: 50}]
latency: {average_ms: 900}
"""
    assert refusal(tmp_path, text).split("\n") == [
        "gates.yaml:3:5 targets[0].margin: unknown key; write margin_points: 5",
        (
            "gates.yaml:4:12 targets[1].suite: own stands in targets a second time: put its bounds "
            "into one entry"
        ),
        (
            "gates.yaml:5:26 targets[1].minimum_gain_points: should be less than or equal to 100, "
            "not 200"
        ),
        "gates.yaml:7:5 guards[0].suite: is missing",
        "gates.yaml:7:20 guards[0].margin_points: 0.05 is not a share of 1: write margin_points: 5",
        (
            "gates.yaml:8:14 guards[0].slices[0]: names category and role: name one category, "
            "one role or one tag"
        ),
        "gates.yaml:9:11 latency.average_ms: unknown key; write average_s: 0.9",
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_gates(tmp_path / "none.yaml")


def test_the_example_holds_the_thresholds_of_a_go_or_no_go() -> None:
    found = find_gates("go-no-go")
    (guard,) = found.guards
    assert (guard.suite, guard.floor_percent) == ("others", 98)
    assert found.latency == LatencyGate(average_s=12)
    assert (found.memory_gb, found.source) == (10, "built in")
    assert found.criteria.code_roles == ("coder", "tester")


def test_an_example_can_be_copied(tmp_path: Path) -> None:
    example = files("punie.gates") / "examples" / "go-no-go.yaml"
    copied = read(tmp_path, example.read_text(encoding="utf-8"))
    assert copied.hash == find_gates("go-no-go").hash


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(InputError) as caught:
        find_gates("go-nogo")
    assert caught.value.message == "there is no built-in gate 'go-nogo'; did you mean go-no-go?"
    assert "built in: go-no-go; a file is given by its path" in caught.value.hint


@pytest.mark.parametrize("as_path", [str, Path])
def test_a_path_is_a_file(tmp_path: Path, as_path: type[str] | type[Path]) -> None:
    read(tmp_path, "memory_gb: 3\n")
    assert find_gates(as_path(tmp_path / "gates.yaml")).memory_gb == 3


def test_by_default_an_adapter_must_gain_and_lose_nothing_elsewhere() -> None:
    found = default_gates(a_run(), adapted())
    assert found.targets == (SuiteGate(suite="own", minimum_gain_points=0),)
    assert found.guards == (SuiteGate(suite="others", margin_points=5),)
    assert found.hash


def test_by_default_two_models_are_no_worse_by_more_than_five_points() -> None:
    for base, current in ((a_run(), a_run("current")), (adapted("base"), adapted())):
        found = default_gates(base, current)
        assert found.targets == ()
        assert found.guards == (SuiteGate(suite="others", margin_points=5),)


def test_what_is_read_can_be_written_and_read_again(tmp_path: Path) -> None:
    found = read(tmp_path, WHOLE)
    said = found.model_dump(
        mode="json", exclude={"source", "hash", "schema_version"}, exclude_unset=True
    )
    assert read(tmp_path, yaml.safe_dump(said)) == found

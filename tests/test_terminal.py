import io

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from punie.records.result import Completion
from punie.records.run import EvalReport, RunStatus
from punie.records.suite import EvalPrompt, Message
from punie.reporting.terminal import eval_table
from synthetic_run import a_result, report_of, synthetic_report


def printed(report: EvalReport, width: int, *, colour: bool = False) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="utf-8")
    console = Console(
        file=file,
        width=width,
        no_color=not colour,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        highlight=False,
        legacy_windows=False,
    )
    console.print(eval_table(report))
    file.flush()
    return "\n".join(line.rstrip() for line in raw.getvalue().decode("utf-8").splitlines())


@pytest.mark.parametrize("width", [40, 80])
def test_a_synthetic_run_reads_well(width: int, snapshot: SnapshotAssertion):
    report, _ = synthetic_report(66, demo=True, adapter="lora-r8", status=RunStatus.INTERRUPTED)
    assert printed(report, width) == snapshot


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_window(width: int):
    report, _ = synthetic_report(66, demo=True)
    assert max(map(len, printed(report, width).splitlines())) <= width


def test_colour_only_repeats_what_words_say():
    report, _ = synthetic_report(66)
    assert "\x1b[" not in printed(report, 80)
    assert "\x1b[" in printed(report, 80, colour=True)


def test_a_run_without_expectations_has_no_score_and_says_so():
    prompt = EvalPrompt(id="p", messages=(Message(role="user", content="hello"),))
    report = report_of([(prompt, a_result(prompt, Completion(text="hi")))])
    shown = printed(report, 80)
    assert "no score" in shown
    assert "answered 100 %" in shown


def test_hostile_names_reach_the_terminal_as_text():
    prompt = EvalPrompt(
        id="p", messages=(Message(role="user", content="?"),), category="[red]\x1b[31mred\u202e"
    )
    shown = printed(report_of([(prompt, a_result(prompt, Completion(text="x")))]), 80)
    assert "\x1b" not in shown
    assert "[red]␛[31mred⟨U+202E⟩" in shown

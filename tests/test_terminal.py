import io

import pytest
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from punie.records.result import Completion, EvalFault, FaultKind
from punie.records.run import EvalReport, RunStatus
from punie.records.suite import EvalPrompt, Message
from punie.records.trust import Checks, Finding, Incident, IncidentKind, Level
from punie.reporting.terminal import eval_table, owed
from synthetic_run import PASSED, a_result, report_of, synthetic_report, with_trust


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


@pytest.mark.parametrize("width", [40, 80])
def test_what_befell_the_machine_reads_well(width: int, snapshot: SnapshotAssertion):
    report, _ = synthetic_report(66, troubled=True, status=RunStatus.INTERRUPTED)
    shown = printed(report, width)
    assert shown[shown.index("The machine") :] == snapshot


def test_what_is_owed_is_counted_and_its_command_stands_on_a_line_of_its_own():
    report, rows = synthetic_report(66, troubled=True, status=RunStatus.INTERRUPTED)
    suite = report.suite.model_copy(update={"prompts": tuple(prompt for prompt, _ in rows)})
    report = report.model_copy(update={"suite": suite})
    left = 66 - report.summary.answered
    command = "punie eval --resume 20261121-0152-k3f9"
    assert owed(report) == f"{left} of 66 prompts are owed:\n{command}"
    assert command not in printed(report, 80)
    whole, _ = synthetic_report(12, fault_share=0)
    assert owed(whole) == ""


def test_a_clean_run_says_one_line_more_for_its_checks():
    report, _ = synthetic_report(12, fault_share=0)
    shown = printed(with_trust(report, PASSED), 80)
    assert shown == f"{printed(report, 80)}\nChecks       all 4 passed"


def test_skipped_checks_are_said_first():
    report, _ = synthetic_report(12, fault_share=0)
    shown = printed(with_trust(report, Checks(skipped=True)), 80)
    assert shown.index("! No self-checks were made (--no-checks)") < shown.index("Category")
    assert shown.endswith("Checks       skipped (--no-checks)")


def test_a_long_list_of_incidents_shows_the_latest():
    report, _ = synthetic_report(12, fault_share=0)
    many = tuple(
        Incident(at=f"2026-11-21T02:{n:02}:00Z", kind=IncidentKind.RESTARTED, what=f"no. {n}")
        for n in range(30)
    )
    shown = printed(with_trust(report, PASSED, many), 80)
    assert "02:29 UTC server restarted: no. 29" in shown
    assert "no. 24" not in shown
    assert "and 25 before" in shown


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


def test_hostile_findings_and_faults_reach_the_terminal_as_text():
    text = "[red]\x1b[31m\x9b31mred\u202e\0\r\n" + "x" * 100_000
    prompt = EvalPrompt(id="p", messages=())
    fault = EvalFault(prompt_id="p", prompt_hash="", kind=FaultKind.REFUSED, message=text)
    report = with_trust(
        report_of([(prompt, fault)]),
        Checks(
            findings=(Finding(name=text, level=Level.WARNING, sentence=text, consequence=text),)
        ),
        (Incident(at=text, kind=IncidentKind.GAVE_UP, what=text),),
    )
    for width in (40, 80):
        shown = printed(report, width)
        assert not set(shown) & {"\x1b", "\x9b", "\u202e", "\0", "\r"}
        assert "[red]␛[31m⟨U+009B⟩31mred⟨U+202E⟩␀" in shown.replace("\n", "").replace(" ", "")
        assert len(shown) < 4000
        assert max(map(len, shown.splitlines())) <= width

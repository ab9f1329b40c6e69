"""The judgement of a measurement, and the words for what a person meets in it."""

import pytest

from punie.analysis.resume_command import resume_command
from punie.records.result import Completion, Culprit, EvalFault, EvalResult, FaultKind, Outcome
from punie.records.run import Run, RunStatus, Sources
from punie.records.suite import EvalPrompt
from punie.records.summary import Summary
from punie.records.trust import Checks, Finding, Incident, IncidentKind, Level
from punie.reporting.soundness import (
    checks_line,
    findings,
    follows,
    notable,
    retries,
    said,
    soundness,
    timeline,
)
from punie.reporting.wording import (
    CULPRITS,
    FAULTS,
    fault_words,
    half_measured,
    http_status,
    is_remote,
    mean_over,
    meaning,
    mostly,
    notes,
    unanswered_categories,
)
from synthetic_run import INCIDENTS, PASSED, WARNED, report_of, with_trust


def a_run(
    *outcomes: Outcome,
    checks: Checks | None = PASSED,
    incidents: tuple[Incident, ...] = (),
    status: RunStatus = RunStatus.DONE,
) -> tuple[Run, Summary]:
    rows = [(EvalPrompt(id=each.prompt_id, messages=()), each) for each in outcomes]
    run = with_trust(report_of(rows, status=status), checks, incidents).run
    assert run.summary
    return run, run.summary


def an_answer(*failures: FaultKind) -> EvalResult:
    return EvalResult(
        prompt_id="p",
        prompt_hash="",
        attempts=1 + len(failures),
        failures=failures,
        completion=Completion(latency_s=1),
    )


FAULT = EvalFault(prompt_id="q", prompt_hash="", kind=FaultKind.TIMEOUT, message="")
SKIPPED = Checks(skipped=True)
PARTLY = PASSED.model_copy(update={"skipped": True, "partly": True})
FOUND = Checks(
    skipped=True, findings=(Finding(name="degenerate", level=Level.WARNING, sentence="Alike."),)
)


UNTOLD = Checks(
    findings=(*PASSED.findings[:1], Finding(name="cache", level=Level.UNKNOWN, sentence="None."))
)


def test_everything_a_person_can_meet_has_words():
    assert FAULTS.keys() == set(FaultKind)
    assert CULPRITS.keys() == set(Culprit)
    assert all(words.meaning and words.remedy for words in FAULTS.values())


def in_categories(**answered: bool | None) -> tuple[Run, Summary]:
    """A run with one prompt a category: right, without anything expected (None), or a fault."""
    rows: list[tuple[EvalPrompt, Outcome]] = []
    for name, right in answered.items():
        outcome: Outcome = FAULT.model_copy(update={"prompt_id": name})
        if right is not False:
            scores = {"score": 1.0, "passed": True} if right else {}
            outcome = an_answer().model_copy(update={"prompt_id": name, **scores})
        rows.append((EvalPrompt(id=name, messages=(), category=name), outcome))
    run = with_trust(report_of(rows), PASSED, ()).run
    assert run.summary
    return run, run.summary


def test_a_score_over_some_categories_alone_names_the_others():
    run, summary = in_categories(tools=True, code=False, logic=False, chat=None)
    assert unanswered_categories(summary) == ["code", "logic"]
    warned = "code, logic: no answer; the score is the mean over 1 of 3 categories."
    assert next(note.text for note in notes(run, summary)) == warned
    assert "of the points, the mean over 1 of 3 categories." in meaning(summary)


def test_a_score_over_all_categories_needs_no_warning():
    run, summary = in_categories(tools=True, code=True, chat=None)
    assert mean_over(summary) == "mean over 2 categories"
    assert not half_measured(summary)
    assert not any("no answer" in note.text for note in notes(run, summary))
    assert not half_measured(in_categories(tools=False)[1])


def test_a_fault_of_somebody_else_s_server_is_not_looked_up_in_our_log():
    kind = FaultKind.SERVER_ERROR
    assert "log" in fault_words(kind).remedy
    assert "log" not in fault_words(kind, remote=True).remedy
    assert fault_words(FaultKind.REFUSED, remote=True) == fault_words(FaultKind.REFUSED)
    run, _ = a_run(FAULT)
    assert not is_remote(run)
    model = run.model.model_copy(update={"backend": "endpoint"})
    assert is_remote(run.model_copy(update={"model": model}))


def test_the_commonest_message_of_a_fault_is_kept_and_its_status_told_apart():
    full = {"kind": FaultKind.SERVER_ERROR, "message": "HTTP 503: http://10.0.0.7 is full"}
    often = FAULT.model_copy(update=full)
    once = FAULT.model_copy(update={**full, "message": "HTTP 500: no"})
    _, summary = a_run(once, often, often, FAULT)
    said = mostly(summary, FaultKind.SERVER_ERROR)
    assert said == "HTTP 503: http://10.0.0.7 is full"
    assert http_status(said) == "HTTP 503"
    assert http_status("the server at HTTP 503") == ""
    assert mostly(summary, FaultKind.TIMEOUT) == ""


def test_a_run_in_which_all_went_well_is_sound():
    judged = soundness(*a_run(an_answer()))
    assert judged == ("sound", "Sound: every self-check passed, and every request was answered.")


def test_what_could_not_be_told_is_not_called_passed():
    judged = soundness(*a_run(an_answer(), checks=UNTOLD))
    told = "Sound: 1 self-check passed, 1 could not be told, and every request was answered."
    assert judged == ("sound", told)
    assert notable(UNTOLD) == []
    follows = UNTOLD.findings[1].model_copy(update={"consequence": "not known"})
    assert notable(Checks(findings=(follows,))) == [follows]


def test_what_was_put_right_is_told_and_does_not_count_against_it():
    run, summary = a_run(an_answer(FaultKind.SERVER_DIED), incidents=(INCIDENTS[0],) * 2)
    judged = soundness(run, summary)
    assert judged.level == "sound"
    assert judged.sentence.endswith(
        "answered. 1 answer came on a later try and the server was restarted twice."
    )
    assert retries(summary) == "1 answer came on a later try; before it: server died (1)"


def test_a_run_that_nobody_checked_is_not_called_sound():
    level, sentence = soundness(*a_run(an_answer(), checks=None))
    assert level == "unchecked"
    assert not sentence.startswith("Sound")


def test_a_note_alone_does_not_count_against_it():
    checks = Checks(findings=tuple(each for each in WARNED.findings if each.level != "warning"))
    judged = soundness(*a_run(an_answer(), checks=checks))
    assert judged.sentence.startswith("Sound: no self-check found anything serious")


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (a_run(FAULT), "Nothing was measured"),
        (a_run(an_answer(), FAULT), "1 request could not be measured"),
        (a_run(an_answer(), checks=WARNED), "1 self-check warned (seed)"),
        (a_run(an_answer(), checks=SKIPPED), "no self-checks were made (--no-checks)"),
        (
            a_run(an_answer(), checks=PARTLY),
            "no self-checks were made for a part of the answers (--no-checks)",
        ),
        (a_run(an_answer(), checks=FOUND), "(--no-checks) and 1 finding warned (degenerate)"),
        (a_run(an_answer(), status=RunStatus.INTERRUPTED), "the run was interrupted"),
        (a_run(an_answer(), status=RunStatus.FAILED), "the run failed before its end"),
        (a_run(an_answer(), status=RunStatus.RUNNING), "the run has not ended"),
        (
            a_run(an_answer(), incidents=(Incident(at="", kind=IncidentKind.GAVE_UP, what=""),)),
            "the server was given up",
        ),
    ],
)
def test_every_reason_for_care_is_named(run: tuple[Run, Summary], reason: str):
    level, sentence = soundness(*run)
    assert level == "care"
    assert reason in sentence


@pytest.mark.parametrize(
    ("run", "owed"),
    [
        (a_run(an_answer()), False),
        (a_run(an_answer(), checks=WARNED), False),
        (a_run(an_answer(), FAULT), True),
        (a_run(an_answer(), status=RunStatus.INTERRUPTED), True),
        (a_run(an_answer(), status=RunStatus.FAILED), True),
        (a_run(an_answer(), FAULT, status=RunStatus.RUNNING), False),
    ],
)
def test_the_command_stands_where_something_is_owed(run: tuple[Run, Summary], *, owed: bool):
    expected = "punie eval --resume 20261121-0152-k3f9" if owed else ""
    assert resume_command(*run) == expected
    head, summary = run
    assert not resume_command(head.model_copy(update={"sources": None}), summary)


@pytest.mark.parametrize(
    ("url", "tail"),
    [
        ("http://127.0.0.1:8080/v1", " --url http://127.0.0.1:8080/v1"),
        ("http://a/v1;rm -rf ~", " --url 'http://a/v1;rm -rf ~'"),
        ("lab", ""),
        (None, ""),
    ],
)
def test_the_command_names_the_url_that_was_given(url: str | None, tail: str):
    run, summary = a_run(FAULT)
    sources = Sources(suite="builtin", model="m", url=url)
    told = resume_command(run.model_copy(update={"sources": sources}), summary)
    assert told == f"punie eval --resume {run.id}{tail}"


def test_a_hostile_id_stays_one_word_of_the_command():
    run, summary = a_run(FAULT)
    told = resume_command(run.model_copy(update={"id": "x; rm -rf ~\n\x1b"}), summary)
    assert told == "punie eval --resume 'x; rm -rf ~ ␛'"


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        (None, ""),
        (SKIPPED, "skipped (--no-checks)"),
        (FOUND, "degenerate looked at, the others skipped (--no-checks)"),
        (UNTOLD, "1 passed, 1 could not be told"),
        (PARTLY, "skipped for a part of the answers (--no-checks); all 4 passed"),
        (Checks(), "none applies here"),
        (Checks(findings=PASSED.findings[:1]), "passed"),
        (PASSED, "all 4 passed"),
        (WARNED, "2 passed, 1 warning, 1 note"),
    ],
)
def test_the_checks_in_a_few_words(checks: Checks | None, words: str):
    assert checks_line(checks) == words


def test_the_worst_finding_comes_first():
    assert [each.name for each in findings(WARNED)][:2] == ["seed", "concurrency"]


@pytest.mark.parametrize(
    ("consequence", "sentence"),
    [("", ""), ("so it is", "So it is."), ("It is.", "It is."), ("really?", "Really?")],
)
def test_a_consequence_is_a_sentence(consequence: str, sentence: str):
    finding = Finding(name="x", level=Level.NOTE, sentence="y", consequence=consequence)
    assert follows(finding) == sentence


def test_two_sentences_do_not_run_into_each_other():
    finding = Finding(name="x", level=Level.NOTE, sentence="it broke", consequence="so what")
    assert said(finding) == "It broke. So what."


def test_the_timeline_is_in_order_and_in_utc():
    late = INCIDENTS[0].model_copy(update={"at": "2026-11-21T04:00:00+02:00"})
    run, _ = a_run(an_answer(), incidents=(INCIDENTS[1], late, INCIDENTS[2]))
    assert [each.at for each in timeline(run)] == ["02:00 UTC", "02:31 UTC", "2026-11-22 07:05 UTC"]


def test_skipped_checks_are_a_warning_of_their_own():
    texts = [note.text for note in notes(*a_run(an_answer(), checks=SKIPPED))]
    assert any("No self-checks were made (--no-checks)" in text for text in texts)
    texts = [note.text for note in notes(*a_run(an_answer(), checks=PARTLY))]
    assert any("For a part of the answers no self-checks were made" in text for text in texts)

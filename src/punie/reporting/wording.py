"""A run in plain words: what its score means, what went wrong and what to do about it."""

import re
from typing import Literal, NamedTuple

from punie.records.result import Culprit, FaultKind
from punie.records.run import ModelIdentity, Run, RunStatus
from punie.records.summary import Estimate, Summary
from punie.reporting.numbers import count, counted, percent
from punie.text import one_line


class Note(NamedTuple):
    """A remark that a reader of the numbers must not miss."""

    level: Literal["info", "warning"]
    text: str
    prompts: tuple[str, ...] = ()
    """Ids of the prompts that it is about."""


class FaultWords(NamedTuple):
    """What a kind of fault means, and what to do."""

    meaning: str
    remedy: str


FAULTS: dict[str, FaultWords] = {
    FaultKind.UNREACHABLE: FaultWords(
        "Nothing answered at the address.", "Check the URL, and that the server runs."
    ),
    FaultKind.TIMEOUT: FaultWords(
        "No answer within the time limit.",
        "Lower --concurrency or --max-tokens, or take a smaller model.",
    ),
    FaultKind.CONNECTION_LOST: FaultWords(
        "The connection broke before the answer was whole.",
        "Run again; if it stays, read the server's log.",
    ),
    FaultKind.RATE_LIMITED: FaultWords(
        "The endpoint asked for fewer requests, again and again.",
        "Lower --concurrency, or declare the endpoint's requests per minute.",
    ),
    FaultKind.SERVER_ERROR: FaultWords(
        "The server failed while it answered.", "Read the end of the server's log."
    ),
    FaultKind.REFUSED: FaultWords(
        "The server would not take this request.",
        "The message names the field; often a tool or a sampling setting it does not know.",
    ),
    FaultKind.MALFORMED: FaultWords(
        "The reply was not a chat completion.", "Check that the URL speaks the OpenAI API."
    ),
    FaultKind.SERVER_DIED: FaultWords(
        "The server's process ended while it worked.",
        "Mostly memory: lower --concurrency, or take a smaller model or quantisation.",
    ),
    FaultKind.TOO_LONG: FaultWords(
        "Prompt and answer do not fit the model's context.",
        "Shorten the prompt, lower --max-tokens, or take a model with a longer context.",
    ),
    FaultKind.SLEPT: FaultWords(
        "The machine slept while the answer was on its way, so its time means nothing.",
        "Keep the machine awake and on power while it measures.",
    ),
    FaultKind.UNSCORABLE: FaultWords(
        "A pattern or schema of the suite did not come to an end on this answer.",
        "Make that pattern or schema simpler; its message names it.",
    ),
}

REMOTE_REMEDIES: dict[str, str] = {
    FaultKind.TIMEOUT: "Lower --concurrency or --max-tokens, or ask when it is less busy.",
    FaultKind.CONNECTION_LOST: "Ask again; if it stays, its operator or a proxy in between knows.",
    FaultKind.SERVER_ERROR: "Ask again later, or lower --concurrency; its operator knows why.",
    FaultKind.TOO_LONG: "Shorten the prompt, lower --max-tokens, or ask for a longer context.",
}
"""What to do where the server is somebody else's, so that its log and its memory are out of reach.
"""

_STATUS = re.compile(r"HTTP \d{3}\b")

CULPRITS: dict[str, str] = {
    Culprit.NOT_CALLED: "An expected tool call was not made.",
    Culprit.WRONG_NAME: "Another tool was called than the expected one.",
    Culprit.MISSING_ARGUMENT: "The right tool, without a required argument.",
    Culprit.WRONG_VALUE: "The right tool, with a wrong argument value.",
    Culprit.WRONG_TYPE: "An argument of a wrong type, such as text for a number.",
    Culprit.UNKNOWN_ARGUMENT: "An argument that the tool does not have.",
    Culprit.EXTRA_CALL: "More calls than were expected.",
    Culprit.SHOULD_ABSTAIN: "A tool was called where none fits.",
    Culprit.WRONG_ORDER: "The right calls in the wrong order.",
    Culprit.UNPARSABLE: "Something like a call that cannot be read as one.",
    Culprit.TRUNCATED: "Cut off at the limit of tokens before it was complete.",
    Culprit.LOST_BY_SERVER: "The model wrote a call, and the server's parser dropped it.",
    Culprit.MISSING_KEYWORD: "A word that must be there is not.",
    Culprit.FORBIDDEN_KEYWORD: "A word that must not be there is.",
    Culprit.WRONG_ANSWER: "An answer, but not an accepted one.",
    Culprit.NO_NUMBER: "A number was asked for and none was given.",
    Culprit.INVALID_JSON: "What should be JSON does not parse.",
    Culprit.REPAIRED_JSON: "JSON that parses only after repair.",
    Culprit.SCHEMA_MISMATCH: "JSON that does not fit the schema.",
    Culprit.WRONG_FIELD: "JSON with a wrong, missing or extra field.",
    Culprit.NO_CODE: "Code was asked for and none was given.",
    Culprit.SYNTAX_ERROR: "Python that does not parse.",
    Culprit.MISSING_DEFINITION: "Python without the function or class that was asked for.",
    Culprit.EMPTY: "Nothing was answered.",
    Culprit.FILTERED: "The endpoint's content filter ended the answer before anything was said.",
}


FINISHED: dict[str, str] = {
    "length": "length, cut off at the limit of tokens",
    "content_filter": "content_filter, stopped by the endpoint",
}


def finish_words(reason: str) -> str:
    """Why an answer ended, in words where the server's own word does not say it."""
    return FINISHED.get(reason, reason)


def fault_words(kind: str, *, remote: bool = False) -> FaultWords:
    """The words for a fault's kind; a kind from a newer punie has none.

    `remote` is a server that punie did not start.
    """
    words = FAULTS.get(kind, FaultWords("", "Read the message of the prompt."))
    return words._replace(remedy=REMOTE_REMEDIES.get(kind, words.remedy)) if remote else words


def is_remote(run: Run) -> bool:
    """Whether somebody else's server was asked."""
    return run.model.backend == "endpoint"


def mostly(summary: Summary, kind: str) -> str:
    """What most faults of a kind said: `HTTP 503: overloaded`; empty where that is not known."""
    return one_line(summary.fault_details.get(kind, ""), 120)


def http_status(message: str) -> str:
    """No more of a fault's message than its status: the rest names hosts and paths."""
    found = _STATUS.match(message)
    return found.group() if found else ""


def culprit_words(culprit: str) -> str:
    """The words for a culprit; one from a newer punie has none."""
    return CULPRITS.get(culprit, "")


def model_title(model: ModelIdentity) -> str:
    """The model, with its adapter where it has one."""
    return f"{model.name} + {model.adapter}" if model.adapter else model.name


def meaning(summary: Summary) -> str:
    """What the headline score says, and how far it can be trusted, in two or three sentences."""
    score = summary.score
    if score is None:
        if not summary.answered:
            return "No prompt was answered, so there is nothing to say about the model."
        return (
            f"No answered prompt says what it expects, so there is no score. "
            f"The model answered {percent_of(summary.answered_rate)} of the prompts."
        )
    mean = f", the {over}" if (over := mean_over(summary)) else ""
    return (
        f"The model earns {percent(score.value)} of the points{mean}. "
        f"From {counted(score.n, 'prompt')}, its score on questions like these lies between "
        f"{_bound(score.low)} and {_bound(score.high)} with 95 % confidence. {_width(score)}"
    )


def mean_over(summary: Summary) -> str:
    """What the score is the mean of: `mean over 3 categories`; empty where that is one.

    A category without an answer is counted, so that nobody takes the mean for one over all. One
    whose prompts expect nothing has no part in a score.
    """
    measured = sum(each.score is not None for each in summary.categories)
    if missing := len(unanswered_categories(summary)):
        return f"mean over {measured} of {measured + missing} categories"
    return f"mean over {measured} categories" if measured > 1 else ""


def unanswered_categories(summary: Summary) -> list[str]:
    """The categories of which no prompt has an answer."""
    return [one_line(each.name, 60) for each in summary.categories if not each.answered]


def half_measured(summary: Summary) -> str:
    """That the score leaves out whole categories, and which; empty where it does not."""
    missing = unanswered_categories(summary)
    if summary.score is None or not missing:
        return ""
    return f"{', '.join(missing)}: no answer; the score is the {mean_over(summary)}."


def percent_of(estimate: Estimate | None) -> str:
    """A share without its interval."""
    return percent(estimate.value if estimate else None)


def _bound(share: float) -> str:
    return f"{max(0, min(100, round(100 * share)))} %"


def _width(score: Estimate) -> str:
    width = score.high - score.low
    if width > 0.25:
        return (
            "That is a wide range, so read it as a first impression; "
            "four times as many prompts would halve it."
        )
    if width > 0.1:
        return "That is enough to see a big difference between two models, not a small one."
    return "That is a narrow range."


def notes(run: Run, summary: Summary) -> list[Note]:
    """What a reader must know before believing the numbers."""
    said: list[Note] = []
    if run.status is RunStatus.INTERRUPTED:
        said.append(
            Note(
                "warning",
                f"Interrupted before its end. {counted(summary.answered, 'answer')} "
                f"came, and the numbers stand for those alone.",
            )
        )
    elif run.status is RunStatus.FAILED:
        said.append(
            Note("warning", "The run failed before its end. The numbers stand for what came.")
        )
    elif run.status is RunStatus.RUNNING:
        said.append(Note("warning", "The run has not ended: these numbers are not final."))
    if part := decided_part(run, summary):
        said.append(
            Note(
                "warning",
                f"{part[0].upper()}{part[1:]}: the run ended once it was plain which of two is "
                "better, so this score is no measurement of the whole suite.",
            )
        )
    if run.model.builtin_demo:
        said.append(
            Note(
                "info",
                "Demo model, not yours: a very small built-in one that shows how punie measures. "
                "Name your own with --model.",
            )
        )
    if run.checks and run.checks.skipped:
        which = "For a part of the answers no" if run.checks.partly else "No"
        said.append(
            Note(
                "warning",
                f"{which} self-checks were made (--no-checks): whether seed, tools and adapter "
                "take effect here is not known.",
            )
        )
    if missing := half_measured(summary):
        said.append(Note("warning", missing))
    if failed := summary.must_pass_failed:
        said.append(Note("warning", f"{counted(len(failed), 'must-pass prompt')} failed.", failed))
    said += [Note("warning", text) for text in _blemishes(summary)]
    return said


def decided_part(run: Run, summary: Summary) -> str:
    """How much of its suite a run asked that ended when it was decided; empty for any other."""
    if run.decided_after is None:
        return ""
    of = f" of {count(run.decided_of)}" if run.decided_of else ""
    return f"asked {count(summary.prompts)}{of} prompts, decided"


def _blemishes(summary: Summary) -> list[str]:
    said: list[str] = []
    if summary.faults:
        said.append(
            f"{counted(summary.faults, 'request')} could not be measured and "
            f"{'counts' if summary.faults == 1 else 'count'} neither as right nor as wrong."
        )
    if summary.unscored:
        said.append(
            f"{counted(summary.unscored, 'answer')} had nothing to be compared with and "
            f"{'counts' if summary.unscored == 1 else 'count'} only as answered."
        )
    if summary.truncated:
        said.append(
            f"{counted(summary.truncated, 'answer')} reached the limit of tokens and "
            f"{'was' if summary.truncated == 1 else 'were'} cut off."
        )
    if summary.recovered:
        said.append(
            f"{counted(summary.recovered, 'answer')} had text that the server's parser dropped; "
            "it was recovered from the tokens."
        )
    return said


def waited(summary: Summary) -> bool:
    """Whether the wall time holds pauses and retries, so that a speed over it is too low."""
    return bool(summary.retried or summary.faults)


def own_code(model: ModelIdentity) -> str:
    """What was done with the code that a model brings; empty where it names none."""
    return one_line(f"never run ({', '.join(model.own_code)})", 300) if model.own_code else ""

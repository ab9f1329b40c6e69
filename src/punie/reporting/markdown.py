"""A run's results as GitHub-flavoured markdown, for the journal and for pull requests: pure.

`RESULTS_FORMAT` grows whenever the same run would be recorded or written another way. Entries of an
earlier format that is not in `WRITTEN_ALIKE` are compared by their recorded hash instead of being
written anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape as html_escape

from punie.analysis.served_by import served_by
from punie.records.result import EvalFault, EvalResult, Outcome
from punie.records.run import EvalReport, Run
from punie.records.suite import EvalPrompt, Sampling
from punie.records.summary import Slice, Spread, Summary
from punie.records.trust import Level
from punie.reporting import numbers
from punie.reporting.answers import expected_line, made_call
from punie.reporting.escaping import code, defang, escape, fence, table
from punie.reporting.judged_markdown import judged_markdown
from punie.reporting.soundness import (
    checks_line,
    notable,
    retries,
    said,
    soundness,
    timeline,
)
from punie.reporting.wording import (
    half_measured,
    http_status,
    mean_over,
    mostly,
    notes,
    own_code,
    waited,
)
from punie.text import one_line

RESULTS_FORMAT = 3
"""2: rows keep failed tries, times of day, call forms and the scorers' own numbers. 3: categories
without an answer are named, faults say what mends them, and a speed says what it includes."""
WRITTEN_ALIKE = frozenset({1, 2, 3})
"""Formats whose results this punie still writes to the letter."""

LISTED = 100
"""Prompts that a list of failures or faults names; run.json has all of them."""
SHOWN = 20
"""Failed prompts whose text is shown, where text is wanted at all."""
CLIPPED = 2000
"""Characters shown of one text."""

_LEVEL_WORDS = {Level.WARNING: "Warning,", Level.NOTE: "Note,", Level.UNKNOWN: "Not told,"}
_LEVELS = "▁▂▃▄▅▆▇█"
_BAR_CELLS = 8


@dataclass(slots=True)
class _Answers:
    """What came back for one prompt, over its repeats."""

    prompt: EvalPrompt
    results: list[EvalResult] = field(default_factory=list[EvalResult])
    faults: list[EvalFault] = field(default_factory=list[EvalFault])

    @property
    def failed(self) -> list[EvalResult]:
        return [result for result in self.results if result.passed is False]

    @property
    def score(self) -> float | None:
        scores = [result.score for result in self.results if result.score is not None]
        return sum(scores) / len(scores) if scores else None


def results_markdown(
    report: EvalReport,
    outcomes: Iterable[Outcome],
    *,
    text: bool = False,
    results_format: int = RESULTS_FORMAT,
) -> str:
    """Write the results of a run: numbers with their intervals, failures with their culprits.

    `outcomes` are those of `report.suite.prompts`, in any order. Prompts and answers are shown only
    with `text`. Headings are of the third level. A `results_format` from before is written as then.
    Raises ValueError where the run has no summary.
    """
    run, summary = report.run, report.summary
    since_3 = results_format >= 3
    answers = _by_prompt(report.suite.prompts, outcomes)
    failed = [each for each in answers if each.failed]
    sections = [
        _headline(run, summary, since_3=since_3),
        _soundness(run, summary, since_3=since_3),
        _slices("Category", summary.categories),
        _slices("Role", summary.roles),
        _speed(summary, since_3=since_3),
        _faults(run, summary, [each for each in answers if each.faults], since_3=since_3),
        _culprits(summary.culprits),
        judged_markdown(run.judged),
        _failures(failed),
        _transcripts(failed) if text else "",
        _provenance(run),
    ]
    return "\n\n".join(section for section in sections if section)


def sparkline(values: Sequence[float]) -> str:
    """Write shares in [0, 1] as one block each, `▁` to `█`, on the whole scale from 0 to 1."""
    return "".join(_LEVELS[round(min(max(value, 0), 1) * 7)] for value in values)


def bar(value: float) -> str:
    """Write a share in [0, 1] as a bar of eight blocks: `█████▅▁▁`."""
    return sparkline([value * _BAR_CELLS - cell for cell in range(_BAR_CELLS)])


def _by_prompt(prompts: Sequence[EvalPrompt], outcomes: Iterable[Outcome]) -> list[_Answers]:
    answers = {prompt.id: _Answers(prompt) for prompt in prompts}
    for outcome in sorted(outcomes, key=lambda each: each.repeat):
        unknown = EvalPrompt(id=outcome.prompt_id, messages=())
        place = answers.setdefault(outcome.prompt_id, _Answers(unknown))
        if isinstance(outcome, EvalResult):
            place.results.append(outcome)
        else:
            place.faults.append(outcome)
    return list(answers.values())


def _headline(run: Run, summary: Summary, *, since_3: bool) -> str:
    if summary.score:
        scored = numbers.counted(summary.score.n, "prompt")
        head = (
            f"**Overall {numbers.percent(summary.score.value)}**, 95 % interval "
            f"{numbers.interval(summary.score)}, n = {scored}"
        )
        categories = len(summary.categories)
        before = f"mean over {categories} categories" if categories > 1 else ""
        if over := mean_over(summary) if since_3 else before:
            head += f", {over}"
    else:
        head = "**No score**: no prompt of this suite expects anything, or none was answered"
    if summary.passed:
        head += f". Passed: {numbers.percent_interval(summary.passed)}"
    if summary.answered_rate:
        head += f". Answered: {numbers.percent_interval(summary.answered_rate)}"
    lines = [f"{head}."]
    hidden = "" if since_3 else half_measured(summary)
    remarks = [f"- {escape(note.text)}" for note in notes(run, summary) if note.text != hidden]
    if remarks:
        lines.append("\n".join(remarks))
    return "\n\n".join(lines)


def _soundness(run: Run, summary: Summary, *, since_3: bool) -> str:
    """The machine's part: one line after a run in which all went well.

    Nothing for a run that nothing of this is known of, as from a punie that made no checks.
    """
    events, again = timeline(run), retries(summary) if summary.retry_reasons else ""
    if run.checks is None and not events and not again:
        return ""
    lines = [escape(soundness(run, summary).sentence)]
    if run.checks:
        lines[0] += f" Self-checks: {escape(checks_line(run.checks, named=since_3))}."
    remarks = [
        f"- {_LEVEL_WORDS[each.level]} {code(each.name)}: {escape(defang(said(each)))}"
        for each in notable(run.checks)
    ]
    remarks += [
        f"- {escape(each.at)} **{escape(each.kind)}**: {escape(defang(each.what))}"
        for each in events[:LISTED]
    ]
    remarks += _rest(len(events), LISTED)
    remarks += [f"- {escape(again)}."] if again else []
    return "\n\n".join([*lines, "\n".join(remarks)] if remarks else lines)


def _slices(title: str, slices: Sequence[Slice]) -> str:
    if not slices:
        return ""
    rows = [
        [
            escape(each.name),
            numbers.percent(each.score.value if each.score else None),
            numbers.interval(each.score),
            bar(each.score.value) if each.score else numbers.NOTHING,
            numbers.percent_interval(each.passed),
            numbers.count(each.prompts),
            numbers.count(each.faults),
        ]
        for each in slices
    ]
    heads = [title, "Score", "95 % interval", "0 to 1", "Passed", "Prompts", "Faults"]
    return table(heads, rows, right=(1, 2, 4, 5, 6))


def _speed(summary: Summary, *, since_3: bool) -> str:
    parts: list[str] = []
    spreads: list[tuple[str, Spread | None]] = [
        ("Latency", summary.latency),
        ("First token", summary.first_token),
    ]
    rows = [
        [name, *map(numbers.duration, (each.mean, each.median, each.p95, each.min, each.max))]
        for name, each in spreads
        if each
    ]
    if rows:
        heads = ["Time", "Mean", "Median", "p95", "Min", "Max"]
        parts.append(table(heads, rows, right=range(1, 6)))
    speed = "Speed, all requests together"
    speed += ", waiting included" if since_3 and waited(summary) else ""
    facts = [
        ("Tokens in", numbers.count(summary.tokens_in)),
        ("Tokens out", numbers.count(summary.tokens_out)),
        (speed, numbers.rate(summary.tokens_per_second)),
        ("Wall time", numbers.duration(summary.wall_s)),
        ("Peak memory of the server", numbers.byte_size(summary.peak_memory_bytes)),
        ("Cost", numbers.cost(summary.cost)),
        ("Answered after a retry", numbers.count(summary.retried)),
    ]
    shown = [[name, value] for name, value in facts if value not in {numbers.NOTHING, "0"}]
    parts.append(table(["Measure", "Value"], shown, right=(1,)) if shown else "")
    return "\n\n".join(part for part in parts if part)


def _faults(run: Run, summary: Summary, faulted: Sequence[_Answers], *, since_3: bool) -> str:
    if not summary.faults:
        return "No faults: every request was answered."
    kinds = [
        [escape(_with_status(summary, kind)), numbers.count(n)]
        for kind, n in _ranked(summary.fault_kinds)
    ]
    listed = [
        f"- {code(each.prompt.id)}: {', '.join(sorted({f.kind.value for f in each.faults}))}"
        for each in faulted[:LISTED]
    ]
    what = "Not measured, so neither right nor wrong, and in no score."
    if since_3:
        # An entry keeps no address: whoever goes on with the run has it in their database.
        what += f" To ask these again: {code(f'punie eval --resume {one_line(run.id, 80)}')}."
    return "\n\n".join(
        [
            "### Faults",
            what,
            table(["Fault", "Requests"], kinds, right=(1,)),
            "\n".join([*listed, *_rest(len(faulted), LISTED)]),
        ]
    )


def _with_status(summary: Summary, kind: str) -> str:
    status = http_status(mostly(summary, kind))
    return f"{kind} ({status})" if status else kind


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The most frequent first; a run that was read from a file has them in alphabetical order."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _culprits(culprits: Mapping[str, int]) -> str:
    if not culprits:
        return ""
    rows = [[escape(name), numbers.count(n)] for name, n in _ranked(culprits)]
    return f"### Culprits\n\n{table(['Culprit', 'Answers'], rows, right=(1,))}"


def _failures(failed: Sequence[_Answers]) -> str:
    if not failed:
        return ""
    rows = [
        [
            code(each.prompt.id) + (" **must pass**" if each.prompt.must_pass else ""),
            escape(each.prompt.category),
            numbers.score(each.score),
            f"{len(each.failed)} of {len(each.results)}",
            escape(", ".join(_reasons(each.failed))),
        ]
        for each in failed[:LISTED]
    ]
    heads = ["Prompt", "Category", "Score", "Failed", "Culprit"]
    body = table(heads, rows, right=(2, 3))
    rest = "\n".join(_rest(len(failed), LISTED))
    return "\n\n".join(part for part in ("### Failed prompts", body, rest) if part)


def _reasons(failed: Sequence[EvalResult]) -> list[str]:
    return list(dict.fromkeys(each.culprit.value for each in failed if each.culprit)) or ["–"]


def _rest(total: int, shown: int) -> list[str]:
    return [f"- and {numbers.count(total - shown)} more, in run.json"] if total > shown else []


def _transcripts(failed: Sequence[_Answers]) -> str:
    """Prompt and first failed answer of each, folded away. GitHub allows these two HTML tags."""
    blocks = [_transcript(each) for each in failed[:SHOWN]]
    return "\n\n".join(["### What they said", *blocks]) if blocks else ""


def _transcript(answers: _Answers) -> str:
    answer = answers.failed[0]
    asked = "\n\n".join(f"[{m.role}] {m.content or ''}" for m in answers.prompt.messages)
    called = [made_call(each, multiline=True) for each in answer.completion.tool_calls]
    said = "\n".join(part for part in (answer.completion.text, *called) if part)
    expected = expected_line(answers.prompt.expect)
    title = html_escape(defang(one_line(answers.prompt.id)))
    why = html_escape(", ".join(_reasons([answer])))
    why_not = [f"- {escape(defang(s.note))}" for s in answer.scores if s.note and not s.passed]
    return "\n\n".join(
        part
        for part in (
            f"<details><summary><code>{title}</code> {why}</summary>",
            fence(_clip(asked), "text"),
            f"Expected: {escape(defang(expected))}" if expected else "",
            fence(_clip(said) or "(empty answer)", "text"),
            "\n".join(why_not),
            "</details>",
        )
        if part
    )


def _clip(text: str) -> str:
    if len(text) <= CLIPPED:
        return text
    return f"{text[:CLIPPED]}\n[… {numbers.count(len(text) - CLIPPED)} more characters]"


def _provenance(run: Run) -> str:
    model = run.model
    adapter_hash = f"@{numbers.short_hash(model.adapter_hash)}" if model.adapter_hash else ""
    facts = [
        ("Run", run.id),
        ("Suite", f"{run.suite_name} {run.suite_version} @{numbers.short_hash(run.suite_hash)}"),
        ("Chosen prompts", ", ".join(f"{k} = {v}" for k, v in sorted(run.selection.items()))),
        ("Model", _model(run)),
        ("Code of its own", own_code(model)),
        ("Adapter", f"{model.adapter}{adapter_hash}" if model.adapter else "none"),
        ("Sampling", _sampling(run.sampling)),
        ("Requests at once", str(run.concurrency)),
        ("Repeats", str(run.repeats)),
        ("Tools", run.tools_mode),
        ("Hardware", run.provenance.hardware),
        ("Platform", run.provenance.platform),
        ("Software", ", ".join(f"{k} {v}" for k, v in sorted(run.provenance.versions.items()))),
        ("Commit", _commit(run)),
    ]
    lines = [f"- {name}: {code(value)}" for name, value in facts if value]
    return "\n".join(["### Where it comes from", "", *lines])


def _model(run: Run) -> str:
    model = run.model
    size = f"{numbers.compact(model.parameters)} parameters" if model.parameters else ""
    weights = f"weights {numbers.short_hash(model.weights_hash)}" if model.weights_hash else ""
    about = ", ".join(part for part in (size, model.dtype or "", served_by(model), weights) if part)
    return f"{model.name} ({about})"


def _sampling(sampling: Sampling) -> str:
    given = sampling.model_dump(mode="json", exclude_defaults=True)
    shown = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens, **given}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _commit(run: Run) -> str:
    commit = run.provenance.git_commit
    return f"{commit[:12]}{', with changes' if run.provenance.git_dirty else ''}" if commit else ""

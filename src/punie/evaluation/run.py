"""`run_evaluation`: a suite against an endpoint."""

import asyncio
import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from punie.analysis.summary import Tally
from punie.evaluation.ask import IN_PROMPT, NATIVE, Asker, Patience
from punie.evaluation.clock import Clock
from punie.evaluation.incidents import Incidents
from punie.evaluation.loop import Asked, Decide, Loop, Progress, Record, RecordHead
from punie.evaluation.needs import check_needs
from punie.records.result import Outcome
from punie.records.run import EvalReport, Run
from punie.records.suite import EvalPrompt, EvalSuite
from punie.records.trust import Checks, Finding
from punie.serving.client import ChatClient
from punie.serving.endpoint import Endpoint

DEFAULT_CONCURRENCY = 8


def new_run_id() -> str:
    """An id that sorts by time and that two commands of the same second do not share."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def new_run(
    suite: EvalSuite,
    endpoint: Endpoint,
    *,
    run_id: str | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    repeats: int = 1,
    tools: str = "auto",
) -> Run:
    """The head of a run that is about to start, with an id of its own."""
    native = endpoint.abilities.tools if tools == "auto" else tools == NATIVE
    return Run(
        id=run_id or new_run_id(),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        suite_name=suite.name,
        suite_version=suite.version,
        suite_hash=suite.hash,
        suite_source=suite.source,
        model=endpoint.identity,
        sampling=suite.sampling,
        concurrency=concurrency,
        repeats=repeats,
        tools_mode=NATIVE if native else IN_PROMPT,
    )


async def run_evaluation(
    suite: EvalSuite,
    endpoint: Endpoint,
    *,
    run: Run | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    repeats: int = 1,
    tools: str = "auto",
    record: Record | None = None,
    record_head: RecordHead | None = None,
    progress: Progress | None = None,
    stop: asyncio.Event | None = None,
    patience: Patience | None = None,
    clock: Clock | None = None,
    owed: Sequence[Asked] | None = None,
    before: Iterable[tuple[EvalPrompt, Outcome]] = (),
    decide: Decide | None = None,
) -> EvalReport:
    """Ask every prompt of `suite`, `repeats` times each, at most `concurrency` at once.

    Each outcome is handed to `record` and awaited; without `record` the outcomes are held in the
    report. `record_head` is handed the run's head when something befell the machine. A request that
    fails is tried again with patience and then becomes a fault; the run goes on. Setting `stop`
    ends it after what is in flight. The report's status tells how it ended: done, interrupted (by
    `stop`), or failed (nobody answers any more).

    `run` is the head to complete, from `new_run` or `self_check`; its concurrency, repeats and
    tools mode then count instead of the arguments. What its checks found gets one finding more,
    whether the answers are degenerate, and with repeats another, whether these are draws. Raises
    InputError for what the endpoint cannot do.

    To go on with a run, `owed` says what is left to ask and `before` gives the outcomes that are
    kept already: progress and summary then stand for all of them. An outcome of `before` that is
    owed, which is a fault, counts only if it is not asked again. The wall time of the summary in
    `run` is added to, its peak of memory is kept where it is higher.

    `decide` sees each outcome, those of `before` too. Once it gives True the run sets `stop` and is
    done after what is in flight, whatever of the suite was not asked.
    """
    run = run or new_run(suite, endpoint, concurrency=concurrency, repeats=repeats, tools=tools)
    check_needs(suite, endpoint, run)
    progress = progress or Progress(total=0)
    stop = stop or asyncio.Event()
    progress.total = len(suite.prompts) * run.repeats if owed is None else len(owed)
    work = _in_rounds(suite, run.repeats) if owed is None else owed
    incidents = Incidents(endpoint.keeper, run.incidents)
    if record is not None and record_head is not None:
        record = with_heads(record, record_head, run, incidents)
    loop = Loop(
        suite,
        run,
        work,
        record=record,
        progress=progress,
        stop=stop,
        keeper=endpoint.keeper,
        decide=decide,
    )
    loop.go_on_from(before, owed or ())
    async with ChatClient(endpoint) as client:
        asker = Asker(
            client,
            sampling=suite.sampling,
            tools_mode=run.tools_mode,
            patience=patience,
            clock=clock,
            on_nap=incidents.napped,
            stop=stop,
        )
        await loop.ask_all(asker)
    loop.count_what_stands()
    findings = [loop.answers.finding()]
    if run.repeats > 1:
        findings.append(loop.draws.finding(run.sampling.temperature))
    ended = finished(
        run.model_copy(update={"status": loop.status, "incidents": incidents.in_order()}),
        loop.tally,
        findings,
        endpoint,
        wall_s=progress.elapsed_s,
    )
    return EvalReport(run=ended, suite=suite, outcomes=tuple(loop.kept))


def finished(
    run: Run, tally: Tally, findings: Iterable[Finding], endpoint: Endpoint, *, wall_s: float
) -> Run:
    """The head of an ended run with its numbers and with what its answers showed.

    The numbers of earlier parts of the run are in them.
    """
    earlier = run.summary
    peaks = (endpoint.peak_memory(), earlier.peak_memory_bytes if earlier else None)
    summary = tally.summary(
        wall_s=wall_s + (earlier.wall_s if earlier else 0.0),
        peak_memory_bytes=max((peak for peak in peaks if peak is not None), default=None),
        prices=endpoint.prices,
    )
    checks = run.checks
    for finding in findings:
        checks = with_finding(checks, finding)
    return run.model_copy(update={"summary": summary, "checks": checks})


def with_finding(checks: Checks | None, finding: Finding) -> Checks | None:
    """The checks with one finding more, which needs no question: also where checks were skipped."""
    if checks is None:
        return None
    others = tuple(each for each in checks.findings if each.name != finding.name)
    return checks.model_copy(update={"findings": (*others, finding)})


def with_heads(record: Record, record_head: RecordHead, run: Run, incidents: Incidents) -> Record:
    """Record the run's incidents with the first outcome after them: a kill must not hide them."""

    async def record_both(outcome: Outcome) -> None:
        await record(outcome)
        if incidents.news():
            await record_head(run.model_copy(update={"incidents": incidents.in_order()}))

    return record_both


def _in_rounds(suite: EvalSuite, repeats: int) -> Iterator[Asked]:
    """All prompts once, then again: a run that is cut short has asked as many as it could."""
    for repeat in range(repeats):
        for prompt in suite.prompts:
            yield prompt, repeat

"""What `punie eval --against` is going to do, found out before the first server is started."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from punie.analysis.pairing import How
from punie.analysis.same import same_model
from punie.cli.adapter import adapter_of, with_adapter
from punie.cli.comparing import contenders
from punie.cli.guards import other_suites, own_suite
from punie.cli.measure import refuse_journal
from punie.cli.other_run import asked_as_wished, asked_like, drawn, refuse_unpaired
from punie.cli.planned_run import PlannedRun, planned_run
from punie.cli.resume import as_it_was
from punie.cli.served import is_remote
from punie.cli.wish import Questions, Wish
from punie.errors import InputError
from punie.records.gate import Gates
from punie.records.run import Run
from punie.settings import Loaded

BASE = "base"


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What `--against` and its companions asked for."""

    against: str
    gate: str | None = None
    fail_on_regression: bool = False
    until_decided: bool = False
    latency: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that was found out before the first server is started."""

    aim: Aim
    current: PlannedRun
    base: PlannedRun | None = None
    """None where the base is a run that is there and is not served again."""
    other: str | None = None
    """What names that run, now and later."""
    how: How = "paired"
    gates: Gates | None = None
    guards: tuple[tuple[str, PlannedRun], ...] = ()
    """Both arms of the gate's other suites, each with what it is called."""
    goal: str | None = None
    """Of the journal entry."""

    @property
    def settings(self) -> Loaded:
        """Those of the arm that was asked for."""
        return self.current.settings


def refuse_contradictions(wish: Wish, aim: Aim) -> None:
    """Raise InputError for flags that do not go together, with what to do."""
    several = wish.repeats is not None and wish.repeats > 1
    for wrong, what, hint in (
        (wish.resume, "--resume and --against", "the same command goes on with what was begun"),
        (
            aim.latency and aim.until_decided,
            "--latency and --until-decided",
            "times need all prompts: drop one of them",
        ),
        (several and aim.until_decided, "--until-decided and --repeats", "drop --repeats"),
        (several and aim.latency, "--latency and --repeats", "drop --repeats"),
        (
            aim.latency and wish.concurrency not in {None, 1},
            f"--latency and --concurrency {wish.concurrency}",
            "one request at a time is timed: drop --concurrency",
        ),
        (aim.latency and wish.judge, "--latency and --judge", "judge it later: punie judge"),
        (
            aim.against == BASE and wish.url,
            "--against base and --url",
            "give the run to compare with: --against RUN",
        ),
    ):
        if wrong:
            raise InputError(f"{what} contradict each other", hint=hint)


def planned(wish: Wish, settings: Loaded, aim: Aim) -> Plan:
    """Find out all that can be before anything is measured; most mistakes end here."""
    from punie.gates.find import find_gates

    refuse_contradictions(wish, aim)
    refuse_journal(wish, settings)
    gates = find_gates(aim.gate) if aim.gate else None
    other = None if aim.against == BASE else _other(aim.against, settings)
    how: How = "paired"
    if other is None:
        wish, settings = with_adapter(wish, settings)
        _require_adapter(wish, settings)
        questions = asked_as_wished(wish, settings)
    else:
        wish, questions = asked_like(wish, settings, other.run)
        wish, settings = with_adapter(wish, settings)
        how = "paired" if refuse_unpaired(questions, other.run, other.hashes) else "intersected"
    if aim.until_decided:
        _require_right_or_wrong(questions, other.run if other else None)
    if aim.latency:
        if is_remote(wish, settings):
            raise InputError(
                "the times of a URL cannot be compared: nobody knows what else it is asked",
                hint="--latency is for models that punie serves",
            )
        wish = replace(wish, repeats=1, concurrency=1)
    goal = _goal(wish, settings, questions)
    wish, settings = _unjournaled(wish, settings)
    ours = drawn(questions, wish.seed or 0) if aim.until_decided else questions
    current = planned_run(wish, settings, ours)
    base = None
    if other is None:
        base = _without_adapter(wish, settings, questions)
    elif aim.latency:
        base = _run_of(other.run, wish, settings, questions)
    plan = Plan(aim=aim, current=current, base=base, how=how, gates=gates, goal=goal)
    plan = replace(plan, other=other.reference if other else None)
    return replace(plan, guards=tuple(_guards(plan, other.run if other else None)))


@dataclass(frozen=True, slots=True)
class _Other:
    """A run that is the other arm: what names it whatever comes, and what it was asked."""

    reference: str
    run: Run
    hashes: set[str]


def _other(reference: str, settings: Loaded) -> _Other:
    """The run that is named; `last` is another one once something was measured."""
    with contenders(settings) as among:
        found = among.find(reference)
        if found.asked is not None:
            raise InputError(
                f"{reference} tells how often, and not which: nothing of it can be asked again",
                hint=f"measure first, and then: punie compare --unpaired {reference} last",
            )
        hashes = {prompt.hash for prompt, _ in found.rows()}
        return _Other(found.run.id if found.stored else reference, found.run, hashes)


def _goal(wish: Wish, settings: Loaded, questions: Questions) -> str | None:
    """The goal of the comparison's journal entry, None where none is wanted."""
    if settings.values.journal.entries == "always" and not wish.journal:
        return f"Compare on {questions.suite.name}."
    return wish.journal


def _unjournaled(wish: Wish, settings: Loaded) -> tuple[Wish, Loaded]:
    """The same without an entry of each run's own: the comparison has one for both."""
    journal = settings.values.journal.model_copy(update={"entries": "asked"})
    values = settings.values.model_copy(update={"journal": journal})
    return replace(wish, journal=None), replace(settings, values=values)


def _require_adapter(wish: Wish, settings: Loaded) -> None:
    if adapter_of(wish, settings) is None:
        raise InputError(
            "--against base compares an adapter with its model, and there is no adapter",
            hint="give --adapter NAME, or a run to compare with: --against RUN",
        )


def _without_adapter(wish: Wish, settings: Loaded, questions: Questions) -> PlannedRun:
    values = settings.values.model_copy(update={"adapter": None})
    bare = replace(wish, adapter=None, output=None, judge=None)
    return planned_run(bare, replace(settings, values=values), questions)


def _run_of(other: Run, wish: Wish, settings: Loaded, questions: Questions) -> PlannedRun:
    """The model of a run, to be served again. Raises InputError where that cannot be."""
    if other.model.backend == "endpoint":
        raise InputError(
            f"run {other.id} asked {other.model.url}: what that serves cannot be served here",
            hint="compare with a run of a model of this machine",
        )
    if other.sources is None:
        raise InputError(
            f"run {other.id} is known by its record alone, so its model cannot be served again",
            hint="measure that model here first, and compare with that run",
        )
    asked = replace(wish, url=None, adapter=None)
    theirs, configured = as_it_was(asked, settings, other)
    theirs = replace(
        theirs, repeats=wish.repeats, output=None, journal=None, judge=None, tools=wish.tools
    )
    arm = planned_run(theirs, configured, questions)
    if not same_model(arm.model, other.model):
        raise InputError(
            f"the model, template or adapter of run {other.id} is another by now",
            hint="measure it again, and compare with that run",
        )
    return arm


def _guards(plan: Plan, other: Run | None) -> Iterator[tuple[str, PlannedRun]]:
    """Both arms of each further suite of the gate; of a run that cannot be served, ours alone."""
    current, base = plan.current, plan.base
    wish, settings = current.wish, current.settings
    own, held_out = own_suite(current.model, settings.project)
    for name in other_suites(plan.gates, current.suite.name, own) if plan.gates else ():
        further = replace(
            wish,
            suite=str(held_out) if name == own and held_out else name,
            category=None,
            role=None,
            tag=None,
            sample=None,
            output=None,
            judge=None,
            questions=None,
        )
        asked = asked_as_wished(further, settings)
        if base is not None:
            yield f"base on {name}", planned_run(base.wish, base.settings, asked)
        elif other is not None and other.sources and other.model.backend != "endpoint":
            yield f"base on {name}", _run_of(other, further, settings, asked)
        yield f"current on {name}", planned_run(further, settings, asked)


def _require_right_or_wrong(questions: Questions, other: Run | None) -> None:
    if not any(any(prompt.expect) for prompt in questions.suite.prompts):
        raise InputError(
            f"no prompt of {questions.suite.name} says what it expects, so nothing can be decided",
            hint="drop --until-decided",
        )
    if other is not None and other.repeats > 1:
        raise InputError(
            f"run {other.id} asked each prompt {other.repeats} times: none is just right or wrong",
            hint="drop --until-decided, or compare with a run without --repeats",
        )

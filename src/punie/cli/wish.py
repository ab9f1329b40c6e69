"""What one `punie eval` asks for, and the suite that this means."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from punie.errors import InputError
from punie.records.suite import EvalSuite, Sampling
from punie.settings import Loaded

DEMO_SUITE = "quick"


@dataclass(frozen=True, slots=True)
class Questions:
    """A suite as it is going to be asked, and what chose its prompts."""

    suite: EvalSuite
    selection: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line asked for; None means: as configured."""

    suite: str | None = None
    model: str | None = None
    adapter: Path | None = None
    url: str | None = None
    backend: str | None = None
    quantization: str | None = None
    category: str | None = None
    role: str | None = None
    tag: str | None = None
    sample: int | None = None
    seed: int | None = None
    repeats: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    concurrency: int | None = None
    tools: str | None = None
    checks: bool | None = None
    output: Path | None = None
    journal: str | None = None
    judge: str | None = None
    judge_model: str | None = None
    rubric: Path | None = None
    resume: str | None = None
    quiet: bool = False
    argv: tuple[str, ...] = ()
    questions: Questions | None = None
    """What is asked, where that was found out already: then no other wish says it."""


def chosen_suite(wish: Wish, settings: Loaded) -> EvalSuite:
    """The suite that was asked for, cut to the filters, with sampling overridden."""
    from punie.suites.catalog import find_suite
    from punie.suites.select import select

    if wish.questions:
        return wish.questions.suite
    name = wish.suite or settings.values.suite or DEMO_SUITE
    suite = find_suite(name, settings.project)
    suite = select(
        suite,
        category=wish.category,
        role=wish.role,
        tag=wish.tag,
        sample=wish.sample,
        seed=wish.seed or 0,
    )
    overrides = {
        name: value
        for name, value in settings.values.sampling.model_dump().items()
        if value is not None
    }
    flags = {"temperature": wish.temperature, "max_tokens": wish.max_tokens, "seed": wish.seed}
    overrides |= {name: value for name, value in flags.items() if value is not None}
    return with_sampling(suite, overrides)


def chosen_by(wish: Wish) -> dict[str, str]:
    """The filters that choose the prompts, for the record of the run."""
    if wish.questions:
        return wish.questions.selection
    filters = {"category": wish.category, "role": wish.role, "tag": wish.tag}
    selection = {name: value for name, value in filters.items() if value is not None}
    if wish.sample:
        selection |= {"sample": str(wish.sample), "seed": str(wish.seed or 0)}
    return selection


def chosen_concurrency(wish: Wish, settings: Loaded) -> int:
    """How many prompts may be in flight."""
    from punie.evaluation.run import DEFAULT_CONCURRENCY

    return wish.concurrency or settings.values.concurrency or DEFAULT_CONCURRENCY


def with_sampling(suite: EvalSuite, overrides: dict[str, Any]) -> EvalSuite:
    """The suite, sampled otherwise; an override of `max_tokens` counts for each of its prompts."""
    if not overrides:
        return suite
    prompts = suite.prompts
    if "max_tokens" in overrides:
        prompts = tuple(replace(prompt, max_tokens=None) for prompt in prompts)
    try:
        sampling = Sampling.model_validate({**suite.sampling.model_dump(), **overrides})
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise InputError(f"{wrong['loc'][0]}: {wrong['msg']}", hint="punie eval --help") from None
    return suite.model_copy(update={"sampling": sampling, "prompts": prompts})

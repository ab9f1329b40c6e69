"""Asking what another run was asked: its suite, its prompts, its sampling."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from punie.analysis.resume_command import command_of
from punie.cli.wish import Questions, Wish, chosen_by, chosen_suite, with_sampling
from punie.errors import InputError
from punie.records.result import EvalResult, Outcome
from punie.records.run import Run, RunStatus
from punie.records.suite import EvalPrompt, EvalSuite
from punie.reporting.wording import decided_part
from punie.settings import Loaded
from punie.suites.catalog import BUILTIN, find_suite
from punie.suites.select import in_drawn_order, select
from punie.text import listed

ORDER = "order"
"""Where the selection of a run tells the seed of the order in which it was asked."""

"""Prompts that a message names before it counts the others."""


def asked_like(wish: Wish, settings: Loaded, other: Run) -> tuple[Wish, Questions]:
    """The wish with all that `other` says and no flag does, and the questions that this means.

    Suite, prompts, sampling, repeats, tools mode and concurrency are those of `other`. Raises
    InputError for a run that is not whole, and for a suite that is another by now.
    """
    _require_whole(other)
    suite = _suite_of(wish, settings, other)
    suite = with_sampling(suite, _differing(suite, other))
    filters = (wish.category, wish.role, wish.tag, wish.sample)
    if any(each is not None for each in filters):
        selection = chosen_by(wish)
        seed = wish.seed or 0
    else:
        selection = {name: value for name, value in other.selection.items() if name != ORDER}
        seed = int(selection.get("seed", "0"))
    suite = select(
        suite,
        category=selection.get("category"),
        role=selection.get("role"),
        tag=selection.get("tag"),
        sample=int(selection["sample"]) if "sample" in selection else None,
        seed=seed,
    )
    flags = {"temperature": wish.temperature, "max_tokens": wish.max_tokens, "seed": wish.seed}
    suite = with_sampling(suite, {k: v for k, v in flags.items() if v is not None})
    wish = replace(
        wish,
        suite=wish.suite or _place_of(other, settings.project),
        repeats=wish.repeats or other.repeats,
        tools=wish.tools or other.tools_mode,
        concurrency=wish.concurrency or other.concurrency,
    )
    return wish, Questions(suite, selection)


def asked_as_wished(wish: Wish, settings: Loaded) -> Questions:
    """The questions where no other run says what they are."""
    return Questions(chosen_suite(wish, settings), chosen_by(wish))


def drawn(questions: Questions, seed: int) -> Questions:
    """The same questions in an order drawn by `seed`, which is noted."""
    suite = in_drawn_order(questions.suite, seed)
    return Questions(suite, {**questions.selection, ORDER: f"seed {seed}"})


def right_or_wrong(rows: Iterable[tuple[EvalPrompt, Outcome]]) -> dict[str, bool]:
    """Whether each prompt, by its hash, was answered rightly; what was not scored is left out."""
    return {
        prompt.hash: outcome.passed
        for prompt, outcome in rows
        if isinstance(outcome, EvalResult) and outcome.passed is not None
    }


def refuse_unpaired(questions: Questions, other: Run, hashes: set[str]) -> bool:
    """Whether all that `other` was asked is asked again; `hashes` are those of its prompts.

    Raises InputError where something is asked that it was not.
    """
    asked = {prompt.hash for prompt in questions.suite.prompts}
    if missing := [each.id for each in questions.suite.prompts if each.hash not in hashes]:
        raise InputError(
            f"run {other.id} was not asked what this one would be: {listed(missing)}",
            hint="give the same --category, --role, --tag and --sample, or none of them",
        )
    return asked == hashes


def _require_whole(other: Run) -> None:
    if other.summary is not None and (part := decided_part(other, other.summary)):
        raise InputError(
            f"run {other.id} is no measurement of its whole suite: {part}",
            hint="compare with a whole run, or with base",
        )
    if other.status is not RunStatus.DONE:
        raise InputError(
            f"run {other.id} is not complete: {other.status.value}",
            hint=f"finish it first: {command_of(other)}",
        )


def _suite_of(wish: Wish, settings: Loaded, other: Run) -> EvalSuite:
    suite = find_suite(wish.suite or _place_of(other, settings.project), settings.project)
    if suite.hash == other.suite_hash:
        return suite
    again = "measure both anew on it, or compare what they share: punie compare --intersect"
    if suite.name != other.suite_name:
        raise InputError(
            f"run {other.id} was asked {other.suite_name}, which is another suite than"
            f" {suite.name}",
            hint=f"leave the suite out to ask the same, {again}",
        )
    raise InputError(
        f"suite {suite.name} has changed since run {other.id} was asked it"
        f" ({other.suite_hash[:12]} → {suite.hash[:12]})",
        hint=again,
    )


def _place_of(other: Run, project: Path) -> str:
    """Where the suite of a run is to be found: in its file, or else by its name."""
    written = other.sources.suite if other.sources else other.suite_source
    path = project / Path(written).expanduser()
    return str(path) if written != BUILTIN and path.is_file() else other.suite_name


def _differing(suite: EvalSuite, other: Run) -> dict[str, object]:
    """Sampling in which a run differed from its suite's own."""
    own = suite.sampling.model_dump()
    return {
        name: value for name, value in other.sampling.model_dump().items() if value != own[name]
    }

"""A run that a command is about to measure, and the same one where the store has it already."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from punie.analysis.resume_command import is_owed
from punie.analysis.same import same_model, same_sampling
from punie.cli.served import is_remote, local_model, remote_config
from punie.cli.wish import Questions, Wish, chosen_by, chosen_concurrency, chosen_suite
from punie.evaluation.ask import IN_PROMPT, NATIVE
from punie.records.run import ModelIdentity, Run, RunStatus
from punie.records.suite import EvalSuite
from punie.reporting.numbers import duration
from punie.settings import Loaded
from punie.store.runs import RunStore


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One arm of a comparison: what leads to it, and what it will be."""

    wish: Wish
    settings: Loaded
    model: ModelIdentity
    tools_mode: str

    @property
    def suite(self) -> EvalSuite:
        """What it is asked."""
        return chosen_suite(self.wish, self.settings)

    def complete(self, store: RunStore) -> Run | None:
        """The newest whole run of the store that is the same measurement."""
        return next(
            (
                run
                for run in store.heads(suite=self.suite.name)
                if run.status is RunStatus.DONE
                and run.decided_after is None
                and run.summary is not None
                and not run.summary.faults
                and self._is(run, store)
            ),
            None,
        )

    def unfinished(self, store: RunStore, *, faults: bool = False) -> Run | None:
        """The newest run of the store that would be this one if it were not cut short.

        With `faults` also one that is done and could not measure all. One that was timed beside
        another is none: such a pair is measured anew.
        """
        wanted = chosen_by(self.wish)
        ended = {RunStatus.INTERRUPTED, RunStatus.FAILED, *([RunStatus.DONE] if faults else [])}
        return next(
            (
                run
                for run in store.heads(suite=self.suite.name)
                if run.status in ended
                and run.summary is not None
                and is_owed(run, run.summary)
                and run.sources is not None
                and run.timed_with is None
                and run.selection == wanted
                and self._is(run, store)
            ),
            None,
        )

    def _is(self, run: Run, store: RunStore) -> bool:
        """Whether a run asked the same of the same model in the same way."""
        suite = self.suite
        return (
            run.suite_hash == suite.hash
            and same_model(run.model, self.model)
            and same_sampling(run.sampling, suite.sampling)
            and run.repeats == (self.wish.repeats or 1)
            and run.tools_mode == self.tools_mode
            and chosen_concurrency(self.wish, self.settings) in _wanted_concurrency(run)
            and _asked(store.suite(run)) == _asked(suite)
        )


def planned_run(wish: Wish, settings: Loaded, questions: Questions) -> PlannedRun:
    """The run that a wish leads to, looked at without serving anything.

    Raises InputError or ModelError for a model or an adapter that cannot be served.
    """
    wish = replace(wish, questions=questions)
    tools = wish.tools or settings.values.tools
    if is_remote(wish, settings):
        config = remote_config(wish, settings.values)
        model = ModelIdentity(name=config.model, backend="endpoint", url=config.url.rstrip("/"))
        renders = True
    else:
        local = local_model(wish, settings)
        model, renders = local.identity, local.renders_tools
    native = renders if tools == "auto" else tools == NATIVE
    return PlannedRun(wish, settings, model, NATIVE if native else IN_PROMPT)


def age_of(run: Run) -> str:
    """How long ago a run was begun: `3 h`."""
    began = datetime.fromisoformat(run.created_at)
    return duration(max(0.0, (datetime.now(UTC) - began).total_seconds()))


def _asked(suite: EvalSuite) -> set[tuple[str, str, int | None]]:
    return {(prompt.id, prompt.hash, prompt.max_tokens) for prompt in suite.prompts}


def _wanted_concurrency(run: Run) -> list[object]:
    """What was asked for and what was used, where memory or the self-check lowered it."""
    found = run.checks.findings if run.checks else ()
    lowered = [finding.details.get(name) for finding in found for name in ("wanted", "asked")]
    return [run.concurrency, *lowered]

"""From what `--judge` names to an endpoint that judges."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from punie.cli.served import Served, chosen_endpoint, served
from punie.cli.wish import Wish
from punie.errors import InputError
from punie.records.suite import EvalPrompt, EvalSuite, Message, Sampling
from punie.settings import Loaded

if TYPE_CHECKING:
    from punie.records.judgement import Rubric


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeWish:
    """Who should judge, by what: as it was written on the command line.

    `judge` is a configured endpoint, a URL, or a model as `--model` takes it; `model` is its name
    at that URL. `rubric_file` None is the built-in rubric, `concurrency` None is as configured.
    """

    judge: str
    model: str | None = None
    rubric: "Rubric" = field(repr=False)
    rubric_file: Path | None = None
    concurrency: int | None = None
    quiet: bool = False

    def command(self, run_id: str) -> str:
        """The command that has a run judged in this way."""
        import shlex

        words = ["punie", "judge", "run", run_id, "--judge", self.judge]
        words += ["--judge-model", self.model] if self.model else []
        words += ["--rubric", str(self.rubric_file)] if self.rubric_file else []
        return shlex.join(words)


def judge_wish(
    judge: str,
    model: str | None,
    rubric_file: Path | None,
    settings: Loaded,
    *,
    concurrency: int | None = None,
    quiet: bool = False,
) -> JudgeWish:
    """Who should judge, looked at before anything is asked, with the rubric read.

    Raises InputError for a judge, or a rubric, that cannot be.
    """
    wish = JudgeWish(
        judge=judge,
        model=model,
        rubric=chosen_rubric(rubric_file),
        rubric_file=rubric_file,
        concurrency=concurrency,
        quiet=quiet,
    )
    checked_judge(wish, settings)
    return wish


def optional_judge(
    judge: str | None,
    model: str | None,
    rubric_file: Path | None,
    settings: Loaded,
    *,
    quiet: bool = False,
) -> JudgeWish | None:
    """The same where nobody has to judge: None for nobody.

    Raises InputError for what is said of a judge without one, and what `judge_wish` raises.
    """
    if judge is not None:
        return judge_wish(judge, model, rubric_file, settings, quiet=quiet)
    for flag, value in (("--judge-model", model), ("--rubric", rubric_file)):
        if value is not None:
            raise InputError(f"{flag} is for a judge", hint="say who judges with --judge")
    return None


def checked_judge(wish: JudgeWish, settings: Loaded) -> tuple[Wish, Loaded]:
    """What to serve for a judge, in the words of an eval. Raises InputError for what cannot be one.

    Nothing of the candidate's model is taken over: neither its name nor its adapter.
    """
    known = settings.values.endpoints
    remote = wish.judge in known or "://" in wish.judge
    unset = {"model": None, "adapter": None, "backend": "auto", "concurrency": None}
    alone = replace(settings, values=settings.values.model_copy(update=unset))
    concurrency = wish.concurrency or settings.values.concurrency
    asked = Wish(concurrency=concurrency, quiet=wish.quiet)
    if not remote:
        if wish.model:
            raise InputError(
                "--judge-model is for a judge at a URL",
                hint="a model that punie serves is named by --judge alone",
            )
        return replace(asked, model=wish.judge), alone
    named = chosen_endpoint(wish.judge, settings.values)
    if not (wish.model or named.model):
        raise InputError(
            f"which model of {named.url} judges?",
            hint="give --judge-model with the name that it goes by there",
        )
    return replace(asked, url=wish.judge, model=wish.model or named.model), alone


def chosen_rubric(path: Path | None) -> "Rubric":
    """The rubric of a file, or the built-in one. Raises InputError."""
    from punie.judging.rubric import default_rubric, read_rubric

    return read_rubric(path) if path else default_rubric()


@asynccontextmanager
async def judge_served(
    wish: JudgeWish,
    settings: Loaded,
    log: Path,
    questions: Iterable[tuple[Message, ...]],
) -> AsyncGenerator[Served]:
    """The judge's endpoint; a server of our own is started, and ends with the block.

    To be entered when the candidate's server has ended: two models at once may not fit. What the
    `questions` take is compared with what is free, where the server is our own.
    """
    asked, alone = checked_judge(wish, settings)
    prompts = () if asked.url else questions
    suite = EvalSuite(
        name="judge",
        sampling=Sampling(max_tokens=wish.rubric.max_tokens),
        prompts=tuple(
            EvalPrompt(id=str(number), messages=messages) for number, messages in enumerate(prompts)
        ),
    )
    async with served(asked, alone, log, suite) as service:
        yield service

"""Going on with a run: what it was, what may differ, what makes it another measurement."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from punie.analysis.resume_command import begun_by, command_of, is_asked_until_decided
from punie.analysis.served_by import served_alike, served_by
from punie.cli.wish import Wish
from punie.errors import InputError, StoreError
from punie.models.catalog import BUILTINS
from punie.records.run import Run, RunStatus, Sources
from punie.records.suite import EvalSuite, prompt_hash
from punie.records.trust import Incident, IncidentKind
from punie.reporting.numbers import counted
from punie.serving.endpoint import Endpoint
from punie.settings import Loaded
from punie.suites.catalog import BUILTIN, find_suite
from punie.text import one_line

Difference = tuple[str, object, object]
"""What differs, as it was when the run began, as it is now."""
AFRESH = "measure it as a new run: punie eval without --resume"
SHOWN_HASH = 12


def sources_of(wish: Wish, suite: EvalSuite, endpoint: Endpoint, adapter: str | None) -> Sources:
    """Where the parts of a run that begins now come from; `adapter` is a folder as written."""
    identity = endpoint.identity
    return Sources(
        suite=BUILTIN if suite.source == BUILTIN else _kept(suite.source),
        model=identity.name if identity.name in BUILTINS else _kept_if_there(identity.name),
        adapter=_kept(adapter) if identity.adapter and adapter else None,
        url=wish.url,
        output=_kept(wish.output) if wish.output else None,
        goal=wish.journal,
        prices=endpoint.prices,
    )


def as_it_was(wish: Wish, settings: Loaded, run: Run) -> tuple[Wish, Loaded]:
    """The wish and the settings that lead to the model of `run`, whatever is configured by now.

    Raises InputError for a run that does not know where its parts came from.
    """
    sources = _sources(run)
    local = run.model.backend != "endpoint"
    resumed = replace(
        wish,
        model=_here(sources.model) if local else run.model.name,
        adapter=Path(_here(sources.adapter)) if sources.adapter else None,
        url=_url(wish, settings, sources),
        backend=run.model.backend,
        quantization=run.model.quantization.value,
        concurrency=wish.concurrency or run.concurrency,
        repeats=run.repeats,
        output=wish.output or (None if left_unwritten(wish, settings, run) else _output(sources)),
        journal=wish.journal or sources.goal,
    )
    values = settings.values.model_copy(update={"adapter": None})
    return resumed, replace(settings, values=values)


def left_unwritten(wish: Wish, settings: Loaded, run: Run) -> Path | None:
    """The file of a run's results that is not written again unless `--output` names it once more.

    It lies outside of the project, where its database, which may come from somebody else, must not
    choose what is written over.
    """
    output = _output(_sources(run))
    if wish.output or output is None or output.resolve().is_relative_to(settings.project.resolve()):
        return None
    return output


def refuse_a_part(run: Run, *, decided: bool) -> None:
    """Raise InputError for a run that cannot be gone on with by itself.

    `decided`: the test that ends a run which is asked until it is decided is at hand.
    """
    if run.timed_with is not None:
        raise InputError(
            f"run {run.id} was timed side by side with {run.timed_with}: a part of such a pair says"
            " nothing of the other's speed",
            hint=f"measure both anew: {begun_by(run)}",
        )
    if is_asked_until_decided(run) and run.status is not RunStatus.DONE and not decided:
        raise InputError(
            f"run {run.id} is asked until it is decided against another run",
            hint=f"go on with the same command: {begun_by(run)}",
        )


def refuse_other_questions(wish: Wish, run: Run, project: Path) -> None:
    """Raise InputError where a flag or the suite's file asks for something else than `run` did."""
    sources = _sources(run)
    _refuse(run, [*_flags(wish, run, sources), *_suite_changes(wish, run, sources, project)])


def refuse_changed_prompts(run: Run, suite: EvalSuite, database: Path) -> None:
    """Raise StoreError where a kept prompt is not the one that its hash says it is.

    Its answers would stand beside those to the prompt before, as if both were to the same.
    """
    for prompt in suite.prompts:
        if prompt_hash(prompt.messages, prompt.tools, prompt.expect) != prompt.hash:
            raise StoreError(
                f"{database}: prompt {one_line(prompt.id, 80)} of run {run.id} is not the one that"
                " was asked: its text or how it is scored has changed since",
                hint=AFRESH,
            )


def refuse_an_unasked_address(wish: Wish, settings: Loaded, run: Run) -> None:
    """Raise InputError where the key of an account would go to an address nobody gave here.

    The database, which may come from somebody else, holds the URL of a run that was given one. It
    gets the key only if `--url` says it again, or OPENAI_BASE_URL does. A configured endpoint gets
    only the key that is configured with it.
    """
    url = _url(wish, settings, _sources(run))
    if url is None or "://" not in url or url in settings.values.endpoints or wish.url:
        return
    base = os.environ.get("OPENAI_BASE_URL", "")
    if os.environ.get("OPENAI_API_KEY") and url.rstrip("/") != base.rstrip("/"):
        raise InputError(
            f"run {run.id} asked {url}; resuming it would send OPENAI_API_KEY there",
            hint=f"if that is right, say so with --url: {command_of(run)}",
        )


def refuse_another_model(run: Run, endpoint: Endpoint) -> None:
    """Raise InputError where what is served is not what answered the first part of `run`."""
    was, now = run.model, endpoint.identity
    pairs: list[Difference] = [
        ("address", was.url, now.url),
        ("model", was.model_hash, now.model_hash),
        ("chat template", was.template_hash, now.template_hash),
        ("adapter", was.adapter_hash, now.adapter_hash),
    ]
    if not served_alike(was, now):
        pairs.append(("server", served_by(was), served_by(now)))
    _refuse(run, [each for each in pairs if each[1] != each[2]])


def going_on(
    wish: Wish,
    run: Run,
    owed: int,
    versions: dict[str, str],
    *,
    prices: tuple[float, float] | None,
) -> Run:
    """The head of `run` as it starts to ask the `owed` questions that are left, at `prices`."""
    what = f"{counted(owed, 'question')} {'was' if owed == 1 else 'were'} left to ask"
    was = run.provenance.versions
    changed = [
        f"{name} {was.get(name, 'none')} → {versions.get(name, 'none')}"
        for name in sorted({*was, *versions})
        if was.get(name) != versions.get(name)
    ]
    if changed:
        what += f"; by now {', '.join(changed)}"
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    incident = Incident(at=now, kind=IncidentKind.RESUMED, what=what)
    return run.model_copy(
        update={
            "status": RunStatus.RUNNING,
            "concurrency": wish.concurrency or run.concurrency,
            "incidents": (*run.incidents, incident),
            "sources": _sources(run).model_copy(update={"prices": prices}),
        }
    )


def _url(wish: Wish, settings: Loaded, sources: Sources) -> str | None:
    """The endpoint of a run: a configured one by its name, else the URL as it is given now."""
    configured = sources.url in settings.values.endpoints
    return sources.url if configured else wish.url or sources.url


def _output(sources: Sources) -> Path | None:
    return Path(_here(sources.output)) if sources.output else None


def _sources(run: Run) -> Sources:
    if run.sources is None:
        raise InputError(
            f"run {run.id} was not made by punie eval, or by one that could not resume yet",
            hint=AFRESH,
        )
    return run.sources


def _flags(wish: Wish, run: Run, sources: Sources) -> Iterator[Difference]:
    """Flags that say something else than the run. One that says the same again does no harm."""
    same_model = wish.model is not None and _kept(wish.model) == sources.model
    chosen = run.selection
    drawn = chosen.get("seed") if run.sampling.seed is None else str(run.sampling.seed)
    given: list[tuple[str, object, tuple[object, ...]]] = [
        ("--model", None if same_model else wish.model, (run.model.name,)),
        ("--url", wish.url, (sources.url, run.model.url)),
        ("--backend", None if wish.backend == "auto" else wish.backend, (run.model.backend,)),
        ("--quantization", wish.quantization, (run.model.quantization.value,)),
        ("--category", wish.category, (chosen.get("category"),)),
        ("--role", wish.role, (chosen.get("role"),)),
        ("--tag", wish.tag, (chosen.get("tag"),)),
        ("--sample", _text(wish.sample), (chosen.get("sample"),)),
        ("--seed", _text(wish.seed), (drawn,)),
        ("--repeats", wish.repeats, (run.repeats,)),
        ("--temperature", wish.temperature, (run.sampling.temperature,)),
        ("--max-tokens", wish.max_tokens, (run.sampling.max_tokens,)),
        ("--tools", None if wish.tools == "auto" else wish.tools, (run.tools_mode,)),
    ]
    for name, now, was in given:
        if now is not None and now not in was:
            yield name, was[0], now
    if wish.adapter and _kept(wish.adapter) != sources.adapter:
        yield "--adapter", run.model.adapter, wish.adapter


def _suite_changes(wish: Wish, run: Run, sources: Sources, project: Path) -> Iterator[Difference]:
    """The suite by its hash. A file that is gone changes nothing: its prompts are in the store."""
    name = wish.suite
    if name is None:
        builtin = sources.suite == BUILTIN
        name = run.suite_name if builtin else _here(sources.suite)
        if not builtin and not Path(name).exists():
            return
    if (now := find_suite(name, project).hash) != run.suite_hash:
        yield f"suite {run.suite_name}", run.suite_hash, now


def _refuse(run: Run, differences: Iterable[Difference]) -> None:
    lines = [f"  {name}: {_shown(was)} → {_shown(now)}" for name, was, now in differences]
    if lines:
        raise InputError(
            "\n".join((f"run {run.id} cannot be resumed as another measurement", *lines)),
            hint=AFRESH,
        )


def _shown(value: object) -> str:
    text = "none" if value is None else str(value)
    is_hash = len(text) == 64 and set(text) <= set("0123456789abcdef")
    return text[:SHOWN_HASH] if is_hash else text


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _kept(path: str | Path) -> str:
    """A path that is good from any folder, without the name of whose home it is in."""
    absolute = Path(path).expanduser().absolute()
    home = Path.home()
    inside = home != Path("/") and absolute.is_relative_to(home)
    return str(Path("~") / absolute.relative_to(home)) if inside else str(absolute)


def _kept_if_there(name: str) -> str:
    return _kept(name) if Path(name).expanduser().exists() else name


def _here(kept: str) -> str:
    return str(Path(kept).expanduser())

"""The gate's other suites: which runs of the same models speak of them, and which are missing."""

from collections.abc import Iterator
from pathlib import Path

from punie.analysis.gate_entries import entry_for
from punie.analysis.measure_command import measure_command
from punie.analysis.same import same_model, same_sampling
from punie.models.manifest import ADAPTERS, read_manifest
from punie.records.adapter import AdapterManifest
from punie.records.gate import OTHERS, OWN, Gates
from punie.records.run import ModelIdentity, Run, RunStatus
from punie.store.runs import RunStore
from punie.text import one_line

ANY_OTHER = "baseline"
"""The suite to measure where a gate asks for any other one."""


def guards_of(
    gates: Gates, base: Run, current: Run, own: str | None, store: RunStore | None
) -> tuple[list[tuple[Run, Run]], tuple[str, ...]]:
    """The newest complete runs, of the base and of the current model, on the gate's other suites.

    Where the gate speaks of `others`, every suite counts that both models took. The second value
    says which suites are missing, each with the command that measures it.
    """
    suite = current.suite_name
    named = list(other_suites(gates, suite, own))
    found = {name: _newest_pair(name, base, current, store) for name in named}
    missing = [name for name, pair in found.items() if pair is None]
    if any(each.suite == OTHERS for each in gates.guards):
        known = [run for run in (store.heads() if store else []) if _is_whole(run)]
        taken = {run.suite_name for run in known if same_model(run.model, current.model)}
        others = {
            name: _newest_pair(name, base, current, store)
            for name in sorted(taken - {*named, suite})
        }
        theirs = {run.suite_name for run in known if same_model(run.model, base.model)}
        missing += [name for name, pair in others.items() if pair is None and name in theirs]
        found |= others
        entry = entry_for(gates, suite, own)
        if entry and entry[1].suite != OTHERS and not any(found.values()) and not missing:
            missing.append(ANY_OTHER)
    pairs = [pair for pair in found.values() if pair is not None]
    return pairs, tuple(_to_measure(name, base, current) for name in missing)


def _newest_pair(
    suite: str, base: Run, current: Run, store: RunStore | None
) -> tuple[Run, Run] | None:
    """The newest two that were asked the whole suite in the same way.

    The version that the current model took last is the one that counts: what it lost there is not
    made good by an older one, nor by the easy part of it.
    """
    runs = [run for run in (store.heads(suite=suite) if store else []) if _is_whole(run)]
    ours = [run for run in runs if same_model(run.model, current.model)]
    theirs = [run for run in runs if same_model(run.model, base.model)]
    for mine in ours:
        if mine.suite_hash != ours[0].suite_hash:
            continue
        for other in theirs:
            if _asked_alike(mine, other):
                return other, mine
    return None


def _is_whole(run: Run) -> bool:
    """Whether all of the suite was asked, in whatever order."""
    whole = run.decided_after is None and run.selection.keys() <= {"order"}
    return whole and run.status is RunStatus.DONE


def _asked_alike(one: Run, other: Run) -> bool:
    return same_sampling(one.sampling, other.sampling) and _asked(one) == _asked(other)


def _asked(run: Run) -> tuple[object, ...]:
    return run.suite_hash, run.repeats, run.tools_mode


def trained_manifest(model: ModelIdentity, project: Path) -> AdapterManifest | None:
    """The manifest of a model's adapter, where that is the project's own."""
    folder = project / ADAPTERS / model.adapter if model.adapter else None
    manifest = read_manifest(folder) if folder and folder.is_dir() else None
    if manifest is None or manifest.adapter_hash != model.adapter_hash:
        return None
    return manifest


def own_suite(model: ModelIdentity, project: Path) -> tuple[str | None, Path | None]:
    """Name and file of the suite that was held out of an adapter's data, where they are known."""
    manifest = trained_manifest(model, project)
    if manifest is None or not manifest.suite:
        return None, None
    path = project / manifest.suite
    return path.stem, path if path.is_file() else None


def other_suites(gates: Gates, suite: str, own: str | None) -> Iterator[str]:
    """The suites that a gate names beside the one that is compared."""
    named = [own if each.suite == OWN else each.suite for each in (*gates.targets, *gates.guards)]
    for name in dict.fromkeys(named):
        if name is not None and name not in {OTHERS, suite}:
            yield name


def _to_measure(suite: str, base: Run, current: Run) -> str:
    """What says that a suite of the gate is missing, with the commands that measure it."""
    name = one_line(suite)
    bare = current.model.model_copy(update={"adapter": None, "adapter_hash": None})
    served_here = current.model.backend != "endpoint"
    if current.model.adapter and served_here and same_model(base.model, bare):
        command = measure_command(current, suite, ("--against", "base"))
        return f"the gate's suite {name} was not measured: {command}"
    commands = "; ".join(
        measure_command(each, suite) for each in (base, current) if _is_known(each)
    )
    return f"the gate's suite {name} was not measured with both models: {commands}"


def _is_known(run: Run) -> bool:
    """Whether there is a model to ask again: a file of numbers, or of a URL's answers, has none."""
    return run.model.backend != "endpoint" or bool(run.model.url)

"""In what two runs differ, beginning with what they are compared for."""

from collections.abc import Iterator

from pydantic import JsonValue

from punie.analysis.served_by import PACKED, served_otherwise
from punie.records.base import canonical_json
from punie.records.comparison import Differing
from punie.records.run import ModelIdentity, Run

NONE = "none"
_BESIDE = frozenset({"python", "pip", "pydantic", "click", "rich"})
"""Packages that neither write an answer nor score it."""


def differs(base: Run, current: Run, *, unpaired: bool = False) -> tuple[Differing, ...]:
    """Every setting in which the runs differ, the compared adapter or model first.

    `matters` where answers or scores may differ because of it: `unpaired`, that is another suite
    too, unless one side are collected interactions, which have none. What neither run knows (the
    weights of an endpoint) is not held to differ.
    """
    return (
        *_subject(base.model, current.model),
        *_asking(base, current),
        *_sampling(base, current),
        *_suite(base, current, unpaired=unpaired),
        *_machine(base, current),
    )


def _subject(base: ModelIdentity, current: ModelIdentity) -> Iterator[Differing]:
    yield from _named(
        "adapter",
        (base.adapter, base.adapter_hash),
        (current.adapter, current.adapter_hash),
    )
    other = base.weights_hash and current.weights_hash and base.weights_hash != current.weights_hash
    if other or base.weights_hash is None or current.weights_hash is None:
        yield from _named(
            "model", (base.name, base.weights_hash), (current.name, current.weights_hash)
        )
    elif base.name != current.name:
        # Two names for the same weights.
        yield Differing(
            what="name of the model", base=base.name, current=current.name, matters=False
        )
    yield from _one("quantisation", base.dtype, current.dtype)
    yield from _one("backend", base.backend, current.backend)
    if served_otherwise(base, current):
        yield from _serving(base, current)
    yield from _one("address", base.url, current.url)
    if base.template_hash and current.template_hash:
        yield from _one("chat template", base.template_hash[:12], current.template_hash[:12])


def _serving(base: ModelIdentity, current: ModelIdentity) -> Iterator[Differing]:
    """Yield how a backend served its model; who has no choice, as mlx, says nothing of it."""
    yield from _one("server", base.server, current.server)
    was, now = (PACKED.get(each.quantization) for each in (base, current))
    yield from _one("packing while loading", was, now)
    yield from _one("computed in", base.computed_in, current.computed_in)
    yield from _one("device", base.device, current.device)


def _asking(base: Run, current: Run) -> Iterator[Differing]:
    yield from _one("tools mode", base.tools_mode, current.tools_mode)
    yield from _one("in flight", base.concurrency, current.concurrency)
    yield from _one("repeats", base.repeats, current.repeats, matters=False)


def _sampling(base: Run, current: Run) -> Iterator[Differing]:
    before, after = (run.sampling.model_dump(mode="json") for run in (base, current))
    drawn = bool(base.sampling.temperature or current.sampling.temperature)
    for name in before:
        yield from _one(name, before[name], after[name], matters=drawn or name != "seed")


def _suite(base: Run, current: Run, *, unpaired: bool) -> Iterator[Differing]:
    """Only the same words are paired, so another version moves no score of theirs."""
    other = unpaired and bool(base.suite_hash and current.suite_hash)
    yield from _one("suite", base.suite_name, current.suite_name, matters=other)
    yield from _one("suite version", base.suite_version, current.suite_version, matters=False)
    if (base.suite_version, base.suite_name) == (current.suite_version, current.suite_name):
        was, now = base.suite_hash[:12], current.suite_hash[:12]
        yield from _one("content of the suite", was, now, matters=False)
    before, after = (
        " ".join(f"{key}={value}" for key, value in sorted(run.selection.items()))
        for run in (base, current)
    )
    yield from _one("selection of prompts", before, after, matters=False)


def _machine(base: Run, current: Run) -> Iterator[Differing]:
    was, now = base.provenance, current.provenance
    yield from _one("hardware", was.hardware, now.hardware)
    yield from _one("platform", was.platform, now.platform)
    for name in sorted(was.versions.keys() | now.versions.keys()):
        versions = was.versions.get(name), now.versions.get(name)
        yield from _one(name, *versions, matters=name not in _BESIDE)
    before, after = (
        f"{(each.git_commit or '')[:12]}{' and changes' * bool(each.git_dirty)}"
        for each in (was, now)
    )
    yield from _one("git commit", before, after, matters=False)


def _named(
    what: str, base: tuple[str | None, str | None], current: tuple[str | None, str | None]
) -> Iterator[Differing]:
    """Yield what a name and a hash stand for, with the hash where the name is the same."""
    known = base[1] and current[1]
    if (base[1] == current[1]) if known else (base == current):
        return
    if not known and base[0] == current[0] and base[0] is not None:
        return  # the same name, and only one of its hashes is known
    before, after = base[0] or NONE, current[0] or NONE
    if before == after:
        before, after = (f"{name} ({(digest or '')[:12]})" for name, digest in (base, current))
    yield Differing(what=what, base=before, current=after)


def _one(
    what: str, base: JsonValue, current: JsonValue, *, matters: bool = True
) -> Iterator[Differing]:
    if base != current:
        yield Differing(what=what, base=_text(base), current=_text(current), matters=matters)


def _text(value: JsonValue) -> str:
    if value is None or value == "":
        return NONE
    return value if isinstance(value, str) else canonical_json(value)

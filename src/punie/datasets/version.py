"""Which rows a dataset holds, as hashes: the same for the same rows, however they are spelled."""

import hashlib
from collections.abc import Mapping, Sequence

from punie.records.base import canonical_json, digest
from punie.records.dataset import Row, Split, SplitVersion
from punie.records.suite import MESSAGES, Tool


def rows_hash(rows: Sequence[Row]) -> str:
    """SHA-256 over the rows in order: turns, tools, text and labels; neither file nor line.

    An argument text or a tool's description counts letter by letter; the spacing and the order of
    keys of the file do not.
    """
    running = hashlib.sha256()
    hashes: dict[tuple[int, ...], str] = {}
    for row in rows:
        same = tuple(map(id, row.tools))  # of a dataset's equal tools there is one, kept by `rows`
        known = hashes.get(same)
        if known is None:
            known = hashes[same] = tools_hash(row.tools)
        labels = canonical_json([row.form.value, row.text, row.category, row.role, row.group])
        turns = MESSAGES.dump_json(row.messages, exclude_defaults=True)
        for part in (turns, known.encode(), labels.encode()):
            running.update(len(part).to_bytes(8))
            running.update(part)
    return running.hexdigest()


def tools_hash(tools: tuple[Tool, ...]) -> str:
    """SHA-256 of a list of tools in its order."""
    return digest([[tool.name, tool.description, tool.parameters] for tool in tools])


def dataset_hash(splits: Mapping[Split, SplitVersion]) -> str:
    """SHA-256 over the hashes of the splits, by name."""
    return digest({split.value: version.hash for split, version in splits.items()})


def split_version(rows: tuple[Row, ...], size: int) -> SplitVersion:
    """Pin one split; `size` is its file's in bytes."""
    return SplitVersion(rows=len(rows), hash=rows_hash(rows), bytes=size)

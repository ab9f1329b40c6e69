"""A generated task in a project: its dataset, its manifest, and the suite that measures it."""

import json
from collections.abc import Sequence
from pathlib import Path

from punie.datasets.generators.domain import ABSTAIN, load_domain
from punie.datasets.generators.tool_calls import generate_tool_calls
from punie.datasets.held_out import suite_of_rows
from punie.datasets.writing import Written, write_dataset
from punie.records.dataset import Row, Split

MAX_TOKENS = 64
"""The longest right answer takes about 50; whoever rambles need not be heard out."""
LICENCE = "Apache-2.0"


def write_tool_calls(
    project: Path, name: str, *, seed: int, train: int, valid: int, test: int
) -> Written:
    """Generate a task into `data/<name>/`, and its test rows as `data/suites/<name>.jsonl`.

    Raises InputError for sizes that the phrasings cannot give, and as `write_dataset`.
    """
    parts = generate_tool_calls(seed, train=train, valid=valid, test=test)
    sizes = f"--train {train} --valid {valid} --test {test}"
    return write_dataset(
        project,
        name,
        {split: rows for split, rows in parts.items() if rows},
        origin=f"punie data generate tool-calls --seed {seed} {sizes}",
        seed=seed,
        licence=LICENCE,
        description=load_domain().description,
        held_out=tool_calls_suite(parts[Split.TEST], name),
    )


def tool_calls_suite(rows: Sequence[Row], name: str) -> str:
    """Write a suite, as JSON lines, that asks for each row's call, or for the stated sentence.

    Not to call is not yet right: every chatty model manages that. The system turn says with which
    sentence a request is declined, so that sentence is expected, and a program can tell it apart.
    """
    lines: list[str] = []
    for row, line in zip(rows, suite_of_rows(rows, name).splitlines(), strict=True):
        prompt = json.loads(line)
        if row.category == ABSTAIN:
            prompt["expect"] = {"exact": row.messages[-1].content}
        prompt["max_tokens"] = MAX_TOKENS
        lines.append(f"{json.dumps(prompt, ensure_ascii=False)}\n")
    return "".join(lines)

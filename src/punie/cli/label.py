"""`punie label`: what a person says of answers, to hold a judge against."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from punie.cli.output import emit_json, err
from punie.errors import InputError

if TYPE_CHECKING:
    from punie.cli.labelling import Item
    from punie.records.judgement import Rubric
    from punie.records.labels import Label
    from punie.store.runs import RunStore


@click.command("label")
@click.argument("run", default="last")
@click.option("--against", metavar="RUN", help="Say which of two runs' answers is better.")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of labels [default: data/labels/RUN.jsonl]. What it has is not asked again.",
)
@click.option(
    "--rubric",
    "rubric_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="What marks mean [default: the built-in rubric].",
)
@click.option("--right-wrong", is_flag=True, help="Say right or wrong instead of giving marks.")
@click.option(
    "--sample", metavar="N", type=click.IntRange(1), help="Only N answers, drawn by --seed."
)
@click.option(
    "--seed", metavar="S", type=click.IntRange(0), help="Of the order [default: 0, or the file's]."
)
@click.option("--json", "as_json", is_flag=True, help="What was done, as JSON.")
def label_command(
    *,
    run: str,
    against: str | None,
    output: Path | None,
    rubric_file: Path | None,
    right_wrong: bool,
    sample: int | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Mark a run's answers yourself, in a terminal, one key at a time.

    Answers come in a random order, without model or score. With --against two runs' answers stand
    side by side, and nothing says which is whose. Each label is kept at once; a later sitting goes
    on where this one ends. 50 labels are needed to calibrate a judge: punie judge calibrate FILE.
    """
    from punie.cli.keys import Keys
    from punie.cli.labelling import Labelling, choices_of, in_order
    from punie.datasets.names import LABELS
    from punie.judging.label_file import LabelFile
    from punie.settings import find_project
    from punie.store.runs import RunStore
    from punie.text import one_line

    paired = against is not None
    _refuse(rubric_file, right_wrong=right_wrong, paired=paired)
    rubric = None if right_wrong or paired else _rubric(rubric_file)
    project = find_project(Path.cwd())
    with RunStore(project) as store:
        head = store.find(run)
        other = store.find(against) if against else None
        name = f"{head.id}-against-{other.id}" if other else head.id
        path = output or project / LABELS / f"{name}.jsonl"
        known = _known(path, rubric, seed)
        seed = known[0].seed if known else seed or 0
        items = in_order(_items(store, head.id, other.id if other else None, seed), seed, sample)
    owed = _owed(items, known)
    labelling = Labelling(
        owed,
        choices_of(rubric, paired=other is not None),
        console=err(),
        seed=seed,
        rubric=rubric,
    )
    if owed:
        with LabelFile(path) as file, Keys() as keys:
            labelling.sit(keys, file)
    others = sorted({each.run for each in known} - {head.id})
    if others:
        named = ", ".join(one_line(each, 60) for each in others)
        err().print(f"{path} has labels of another run too: {named}", markup=False, soft_wrap=True)
    done = len(labelling.labelled)
    left = len(owed) - done
    if as_json:
        told = {
            "file": str(path),
            "run": head.id,
            "against": other.id if other else None,
            "seed": seed,
            "labelled_now": done,
            "labelled": len(items) - left,
            "other_runs": others,
            "owed": left,
        }
        emit_json("label", told)
        return
    click.echo(f"{done} labelled now, {len(items) - left} of {len(items)} in {path}")


def _refuse(rubric: Path | None, *, right_wrong: bool, paired: bool) -> None:
    """Raise InputError where nobody sits at a terminal, and for flags that do not go together."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(
            "labels come from a person at a terminal, and this is none",
            hint="run punie label in a terminal window",
        )
    if right_wrong and rubric:
        raise InputError("--right-wrong and --rubric contradict each other", hint="drop one")
    if paired and (right_wrong or rubric):
        raise InputError(
            "two answers are left, right or a tie: --rubric and --right-wrong are for one run",
            hint="drop --against, or the other",
        )


def _rubric(file: Path | None) -> "Rubric":
    """The rubric that marks follow. Raises InputError for one whose marks have no key."""
    from punie.judging.rubric import default_rubric, read_rubric

    rubric = read_rubric(file) if file else default_rubric()
    wide = [each.name for each in rubric.dimensions if each.highest > 9]
    if wide:
        raise InputError(
            f"marks above 9 have no key: {', '.join(wide)}",
            hint="label by a rubric whose marks go from 1 to 5",
        )
    return rubric


def _known(path: Path, rubric: "Rubric | None", seed: int | None) -> "list[Label]":
    """The labels that a file has already. Raises InputError where they are of another kind."""
    from punie.judging.label_file import read_labels

    labels = read_labels(path) if path.exists() else []
    mine = rubric.hash if rubric else None
    if any(each.rubric_hash != mine for each in labels):
        raise InputError(
            f"{path} has labels by another rubric", hint="give another file: --output FILE"
        )
    seeds = {each.seed for each in labels}
    if seed is not None and seeds - {seed}:
        raise InputError(
            f"{path} was begun with another seed: {', '.join(map(str, sorted(seeds)))}",
            hint="drop --seed to go on with it, or give another file: --output FILE",
        )
    return labels


def _items(store: "RunStore", run: str, against: str | None, seed: int) -> "list[Item]":
    from punie.cli.labelling import paired_items, single_items
    from punie.judging.matches import first_answers, matches_of

    if against is None:
        items = single_items(run, first_answers(store.rows(run)))
        nothing = f"run {run} has no answer to label"
    else:
        matches = matches_of(store.rows(against), store.rows(run)).found
        items = paired_items(run, against, matches, seed)
        nothing = f"{run} and {against} have no prompt in common with two different answers"
    if not items:
        raise InputError(nothing, hint="punie runs list")
    return items


def _owed(items: "list[Item]", known: "list[Label]") -> "list[Item]":
    from punie.records.labels import LabelKind

    done = {each.key for each in known}
    kinds = {each.kind for each in known}
    if items and kinds and (LabelKind.DUEL in kinds) != (items[0].against is not None):
        raise InputError(
            "the file has labels of another kind", hint="give another file: --output FILE"
        )
    return [item for item in items if item.key not in done]

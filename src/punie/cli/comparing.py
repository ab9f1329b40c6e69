"""From references to two contenders, and from these to everything that is said of them."""

from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from punie.analysis.compared import Versus, compared_of
from punie.analysis.gate_judge import JudgeWord
from punie.analysis.pairing import Arm, How, arm_of, pair, refusal
from punie.analysis.resume_command import command_of
from punie.cli.guards import guards_of, own_suite
from punie.cli.judge_known import known_of
from punie.errors import EXIT_GATE, EXIT_INCONCLUSIVE, EXIT_OK, InputError
from punie.gates.default import default_gates
from punie.records.compared import Compared
from punie.records.gate import Gates, Verdict
from punie.records.result import Outcome
from punie.records.run import Run
from punie.records.suite import EvalPrompt
from punie.settings import Loaded
from punie.store.database import DATABASE, STATE_FOLDER
from punie.store.runs import RunStore

Row = tuple[EvalPrompt, Outcome]


@dataclass(frozen=True, slots=True)
class Contender:
    """One run of a comparison, wherever it lies."""

    run: Run
    read: Callable[[Collection[str] | None], Iterable[Row]] = field(repr=False)
    """Begins to give its rows anew, all or those of the prompts with these hashes."""
    words: bool = True
    """Whether prompts and answers are known, as they are not in most run.json."""
    stored: bool = True
    """Whether it lies in the project's database."""
    asked: Arm | None = field(default=None, repr=False)
    """What is compared of it, where it has no rows."""
    notes: tuple[str, ...] = ()
    """What a reader of a comparison with it must know."""

    def rows(self, hashes: Collection[str] | None = None) -> Iterable[Row]:
        """Its rows, all or those of the prompts with these hashes."""
        return self.read(hashes)

    @property
    def arm(self) -> Arm:
        """What is compared of it."""
        return arm_of(self.rows()) if self.asked is None else self.asked


@dataclass(frozen=True, slots=True)
class Match:
    """Two contenders, and what was found of them."""

    base: Contender
    current: Contender
    versus: tuple[Versus, ...] = field(repr=False)
    """The pair itself, then those of the gate's other suites."""
    compared: Compared = field(repr=False)
    gates: Gates
    how: How
    own_suite: str | None
    """The suite that was held out of the current run's adapter's data."""


class Contenders:
    """Where runs are found: the project's database, opened when it is needed, and files."""

    def __init__(self, project: Path, stack: ExitStack) -> None:
        self._project = project
        self._stack = stack
        self._store: RunStore | None = None

    @property
    def store(self) -> RunStore:
        """The project's database."""
        if self._store is None:
            self._store = self._stack.enter_context(RunStore(self._project))
        return self._store

    @property
    def known(self) -> RunStore | None:
        """The project's database where there is one; none is made."""
        here = self._store or (self._project / STATE_FOLDER / DATABASE).is_file()
        return self.store if here else None

    def find(self, reference: str) -> Contender:
        """The run that a reference names: as everywhere, or the path of a run.json or of metrics.

        Raises InputError for a run without answers, or where there is none of that name.
        """
        if reference.endswith(".json"):
            return _of_file(Path(reference))
        return stored(self.store, self.store.find(reference))


@contextmanager
def contenders(settings: Loaded) -> Generator[Contenders]:
    """Find contenders in a project for the block."""
    with ExitStack() as stack:
        yield Contenders(settings.project, stack)


def stored(store: RunStore, run: Run) -> Contender:
    """A run of the database. Raises InputError where nothing of it was measured."""
    head = store.report(run).run
    if head.summary is None or not head.summary.prompts:
        raise InputError(
            f"run {head.id} has no answers: there is nothing to compare",
            hint=command_of(head),
        )
    return Contender(head, lambda hashes: store.rows(run.id, hashes))


def _of_file(path: Path) -> Contender:
    from punie.cli.collected import collected, is_metrics

    return collected(path) if is_metrics(path) else recorded(path)


def recorded(path: Path) -> Contender:
    """The run of an entry's run.json. Raises InputError for one that cannot be read."""
    from punie.journal.reading import read_record
    from punie.journal.replay import rows_of

    try:
        record = read_record(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if record.run.summary is None:
        raise InputError(f"{path}: the run has no numbers")
    words = record.entry.text
    return Contender(record.run, lambda hashes: rows_of(record, hashes), words=words, stored=False)


def match(
    base: Contender,
    current: Contender,
    gates: Gates | None,
    *,
    project: Path,
    how: How = "paired",
    store: RunStore | None = None,
) -> Match:
    """Compare two runs, and those of the gate's other suites that `store` has of the same models.

    Without `gates` the default ones hold. Raises InputError where the runs cannot be compared in
    the way that was asked, and where a gate names what they do not have.
    """
    own, _ = own_suite(current.run.model, project)
    gates = gates or default_gates(base.run, current.run)
    pairs, missing = guards_of(gates, base.run, current.run, own, store)
    versus = [_versus(base, current, how)]
    for theirs, ours in pairs:
        assert store is not None
        versus.append(_versus(stored(store, theirs), stored(store, ours), how))
    known = known_of(gates, current.run, None, project)
    found = compared_of(
        versus, gates, own_suite=own, missing=missing, word=JudgeWord(calibrations=known)
    )
    found = found.model_copy(update={"warnings": (*base.notes, *current.notes)})
    return Match(base, current, tuple(versus), found, gates, how, own)


def _versus(base: Contender, current: Contender, how: How) -> Versus:
    paired = pair(base.arm, current.arm, how)
    refused = refusal(base.run, current.run, paired)
    if refused is not None:
        raise refused
    return Versus(base.run, current.run, paired)


def exit_code(
    compared: Sequence[Compared], *, gated: bool, fail_on_regression: bool
) -> tuple[int, str]:
    """The code of the worst verdict, and a warning where one is undecided and nothing asks for it.

    Without a gate and without `fail_on_regression`, whatever was found is no error.
    """
    verdicts = {each.gate.verdict for each in compared if each.gate}
    if Verdict.FAIL in verdicts and (gated or fail_on_regression):
        return EXIT_GATE, ""
    if Verdict.INCONCLUSIVE in verdicts:
        if gated:
            return EXIT_INCONCLUSIVE, ""
        if fail_on_regression:
            return EXIT_OK, "undecided: too few prompts to tell whether this is a regression"
    return EXIT_OK, ""

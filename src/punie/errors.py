"""Every error that punie raises on purpose, one class per boundary.

    PunieError                  exit 1   something went wrong while running
    ├── InputError              exit 2   a file, flag or setting that a person can mend
    │   ├── SuiteError          exit 2   a suite with one or more located problems
    │   └── DataError           exit 2   training data with one or more located problems
    ├── ModelError              exit 5   no such model, or a model that cannot be loaded
    ├── ServerError             exit 5   our server did not start, or died
    ├── EndpointError           exit 5   a URL that cannot be reached, or refuses us
    ├── TrainingError           exit 1   a training that could not go on
    ├── StoreError              exit 1   the database or a run's files
    ├── DataCheckError          exit 3   training data with defects that nobody allowed
    └── JournalError            exit 3   an entry that does not agree with its run

A wrong answer of a model is no error: it is data (`EvalResult`). A request that failed is no error
either once its retries are spent: it is an `EvalFault`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

EXIT_OK = 0
EXIT_RUNTIME = 1
EXIT_USAGE = 2
EXIT_GATE = 3
EXIT_INCONCLUSIVE = 4
EXIT_UNMEASURED = 5
EXIT_INTERRUPTED = 130


class PunieError(Exception):
    """Base of the tree. `message` says what and where, `hint` what to do about it."""

    code: ClassVar[str] = "runtime"
    exit_code: ClassVar[int] = EXIT_RUNTIME

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(PunieError):
    """A file, flag or setting that cannot be used as it is."""

    code = "input"
    exit_code = EXIT_USAGE


@dataclass(frozen=True, slots=True)
class Problem:
    """One located problem in an input file; `line` and `column` count from 1, 0 is unknown."""

    file: str
    line: int
    column: int
    path: str
    what: str

    def __str__(self) -> str:
        place = ":".join([self.file, *(str(n) for n in (self.line, self.column) if n)])
        return f"{place} {self.path}: {self.what}" if self.path else f"{place}: {self.what}"


class SuiteError(InputError):
    """A suite file with problems, at once: `found` of them, the first of which are `problems`."""

    code = "suite"

    def __init__(self, problems: Sequence[Problem], *, hint: str = "", found: int = 0) -> None:
        self.problems = tuple(problems)
        self.found = max(found, len(self.problems))
        super().__init__("\n".join(str(problem) for problem in self.problems), hint=hint)


class DataError(InputError):
    """Training data with problems, at once: `found` of them, the first of which are `problems`."""

    code = "data"

    def __init__(self, problems: Sequence[Problem], *, hint: str = "", found: int = 0) -> None:
        self.problems = tuple(problems)
        self.found = max(found, len(self.problems))
        lines = [str(problem) for problem in self.problems]
        if self.found > len(lines):
            lines.append(f"and {self.found - len(lines):,} more problems")
        super().__init__("\n".join(lines), hint=hint)


class ModelError(PunieError):
    """A model, tokenizer or adapter that does not exist, is damaged, or does not fit."""

    code = "model"
    exit_code = EXIT_UNMEASURED


class ServerError(PunieError):
    """The server that punie owns did not become ready, or died."""

    code = "server"
    exit_code = EXIT_UNMEASURED


class EndpointError(PunieError):
    """A URL that cannot be reached, or that refuses the key or the model."""

    code = "endpoint"
    exit_code = EXIT_UNMEASURED


class TrainingError(PunieError):
    """A training ended before its end: loss not finite, memory, disk, or the worker itself."""

    code = "training"


class DataCheckError(PunieError):
    """Training data has defects that stop a training, and nobody allowed them."""

    code = "data_check"
    exit_code = EXIT_GATE


class StoreError(PunieError):
    """The database or a run's files cannot be read or written."""

    code = "store"


class JournalError(PunieError):
    """A journal entry disagrees with the run that it names."""

    code = "journal"
    exit_code = EXIT_GATE

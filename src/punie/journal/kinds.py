"""Every kind of entry that is no run's, by the name of its record."""

from typing import Any

from punie.journal.benchmark import BENCHMARK_KIND
from punie.journal.comparison import COMPARISON_KIND
from punie.journal.note import NoteKind
from punie.journal.training import TRAINING_KIND

KINDS: dict[str, NoteKind[Any]] = {
    kind.file: kind for kind in (TRAINING_KIND, BENCHMARK_KIND, COMPARISON_KIND)
}

"""Everything that can be seen wrong with training data before it is trained."""

import time
from collections.abc import Iterator, Mapping, Sequence

from punie.datasets.checking.balance import find_imbalance
from punie.datasets.checking.calls import find_lost_calls
from punie.datasets.checking.duplicates import find_duplicates
from punie.datasets.checking.encoded import find_encoding_problems
from punie.datasets.checking.leakage import find_leakage
from punie.datasets.checking.private import find_private
from punie.datasets.checking.turns import find_odd_turns
from punie.datasets.version import dataset_hash, split_version
from punie.records.datacheck import DataFinding, DataReport, Severity
from punie.records.dataset import Row, Split
from punie.records.encoding import Encoding
from punie.records.suite import EvalSuite
from punie.records.training import PlanFields

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


def check_dataset(
    rows: Mapping[Split, Sequence[Row]],
    *,
    suites: Sequence[EvalSuite] = (),
    encoding: Encoding | None = None,
    plan: PlanFields | None = None,
    tools_as_text: bool = False,
) -> DataReport:
    """Look for duplicates, leakage, imbalance, odd turns, private data, what the encoding found.

    `rows` are those of the files, before tools became text. `suites` are all that a result may ever
    be measured with, the dataset's own too. `encoding` adds lengths, masks and calls, `plan` the
    batch; `tools_as_text` is for a model whose template renders no tools. The same input gives the
    same report, but for the seconds. Findings come with the gravest first.
    """
    began = time.perf_counter()
    leaks = find_leakage(rows, suites)
    findings = [
        *leaks.findings,
        *(find_encoding_problems(rows, encoding, plan) if encoding is not None else ()),
        *(find_lost_calls(rows) if tools_as_text else ()),
        *find_odd_turns(rows),
        *find_duplicates(rows),
        *find_imbalance(rows, encoding),
        *find_private(rows),
        *(_small_batch(rows, plan) if plan is not None else ()),
    ]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    return DataReport(
        dataset_hash=dataset_hash(
            {split: split_version(tuple(each), 0) for split, each in rows.items()}
        ),
        findings=tuple(findings),
        leaked=leaks.leaked,
        seconds=time.perf_counter() - began,
    )


def _small_batch(rows: Mapping[Split, Sequence[Row]], plan: PlanFields) -> Iterator[DataFinding]:
    """Fewer rows than the batch: mlx_lm refuses them, punie trains them all in one batch."""
    count = len(rows.get(Split.TRAIN, ()))
    if 0 < count < plan.batch_size:
        yield DataFinding(
            check="batch",
            severity=Severity.WARNING,
            what=f"{count:,} rows make no batch of {plan.batch_size:,}",
            count=count,
            hint=f"every batch is all {count:,} rows: more rows, or a smaller batch_size",
        )

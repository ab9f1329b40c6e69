"""How long the rows of somebody's data are for a model: what a projected time rests on."""

import asyncio
import tempfile
from pathlib import Path
from typing import NamedTuple

from punie.backends.encoding import encode
from punie.datasets.for_template import rows_for_template
from punie.datasets.reading import read_dataset
from punie.models.describe import describe
from punie.models.resolve import resolve
from punie.records.dataset import ROW, Split
from punie.records.encoding import EncodeJob
from punie.records.training import Masking


class DataLengths(NamedTuple):
    """Tokens of each training row, before anything is cut."""

    name: str
    lengths: tuple[int, ...]


async def data_lengths(source: str, project: Path, model: str, *, max_length: int) -> DataLengths:
    """Render the training rows of a dataset with the model's template, and count their tokens.

    Raises InputError or DataError for the data, ModelError for the model.
    """
    dataset = await asyncio.to_thread(read_dataset, source, project)
    info = await asyncio.to_thread(lambda: describe(resolve(model)))
    rows = rows_for_template(dataset.rows[Split.TRAIN], renders_tools=info.abilities.tools)
    with tempfile.TemporaryDirectory(prefix="punie-") as folder:
        file = Path(folder) / "train.rows.jsonl"
        with file.open("wb") as lines:
            for row in rows:
                lines.write(ROW.dump_json(row, exclude_defaults=True) + b"\n")
        job = EncodeJob(
            model=info.model.path,
            rows={Split.TRAIN: file},
            max_length=max_length,
            masking=Masking.ASSISTANT,
            output=Path(folder) / "rows.safetensors",
        )
        encoding = await encode(job)
    return DataLengths(dataset.name, encoding.splits[Split.TRAIN].lengths)

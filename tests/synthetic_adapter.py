"""A made-up adapter's manifest, whole, for tests that need one without training."""

from typing import Any

from punie.records.adapter import (
    AdapterManifest,
    AdapterResult,
    BaseModelVersion,
    Chosen,
    LossPoint,
    Training,
)
from punie.records.dataset import DatasetVersion, Split, SplitVersion
from punie.records.run import Provenance
from punie.records.training import Ending, ResolvedPlan


def a_manifest(**changes: Any) -> AdapterManifest:
    """A manifest with every part filled in; `changes` replace fields of the top."""
    plain = AdapterManifest(
        name="tiny-weather",
        created_at="2026-11-21T09:00:00+00:00",
        base=BaseModelVersion(
            name="smollm2-135m",
            weights_hash="a" * 64,
            model_hash="b" * 64,
            template_hash="c" * 64,
            parameters=134_515_008,
            dtype="float32",
        ),
        data=DatasetVersion(
            name="weather",
            hash="d" * 64,
            splits={
                Split.TRAIN: SplitVersion(rows=120, hash="1" * 64),
                Split.VALID: SplitVersion(rows=20, hash="2" * 64),
            },
            origin="punie data generate tool-calls --seed 7",
            licence="CC0-1.0",
        ),
        data_path="data/weather",
        suite="data/suites/weather.yaml",
        plan=ResolvedPlan(
            layers=16,
            learning_rate=2e-4,
            iterations=100,
            validate_every=10,
            checkpoint_every=10,
        ),
        weights_hash="e" * 64,
        adapter_hash="f" * 64,
        chosen=Chosen(step=80, by="validation loss", value=0.1234, candidates={80: 0.1234}),
        training=Training(
            started_at="2026-11-21T08:50:00+00:00",
            steps=100,
            epochs=3.3,
            tokens=12_345,
            seconds=310.0,
            seconds_per_iteration=3.0,
            tokens_per_second=40.0,
            peak_memory_bytes=2_000_000_000,
            trainable=900_000,
            ending=Ending.DONE,
            losses=tuple(
                LossPoint(step=step, train=4 / step, valid=5 / step if step % 10 == 0 else None)
                for step in range(1, 101)
            ),
        ),
        provenance=Provenance(
            command="punie train data/weather", versions={"mlx": "0.32.4"}, hardware="M3, 8 cores"
        ),
    )
    return plain.model_copy(update=changes)


def a_result(run: str = "r1", **changes: Any) -> AdapterResult:
    """What one run measured."""
    plain = AdapterResult(
        run=run,
        created_at="2026-11-21T10:00:00+00:00",
        suite="weather",
        suite_hash="9" * 64,
        score=0.9,
        low=0.78,
        high=0.96,
        prompts=52,
    )
    return plain.model_copy(update=changes)

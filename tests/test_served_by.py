"""What served a model: in words, told apart, and never mixed into one row of numbers."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

import journal_run
from punie.adapters.card import write_card
from punie.adapters.manifest import result_of
from punie.analysis.same import same_model
from punie.analysis.served_by import served_alike, served_by
from punie.backends import cuda_env
from punie.backends.gpu import Gpu
from punie.cli.resume import refuse_another_model
from punie.errors import InputError
from punie.journal.entry import write_entry
from punie.journal.table import render_journal
from punie.records.run import ModelIdentity
from punie.records.training import Quantization
from punie.reporting.comparison_wording import titles
from punie.reporting.provenance import provenance
from punie.reporting.training_markdown import result_words, trained_by
from punie.serving.endpoint import Endpoint
from punie.store.export import as_csv
from run_pairs import a_run, compared, rows_of
from synthetic_adapter import a_manifest

CPU: dict[str, Any] = {
    "backend": "cuda",
    "server": "transformers",
    "computed_in": "float32",
    "device": "cpu",
}
WAYS: dict[str, dict[str, Any]] = {
    "mlx": {},
    "cuda (transformers), computed in float32, on the CPU": CPU,
    "cuda (transformers), NF4 computed in bfloat16, on the CPU": {
        **CPU,
        "quantization": Quantization.FOUR_BIT,
        "computed_in": "bfloat16",
    },
    "cuda (transformers), 8-bit computed in bfloat16, on NVIDIA H200": {
        **CPU,
        "quantization": Quantization.EIGHT_BIT,
        "computed_in": "bfloat16",
        "device": "NVIDIA H200",
    },
    "cuda (vllm), computed in float32, on NVIDIA H200": {
        **CPU,
        "server": "vllm",
        "device": "NVIDIA H200",
    },
}


def a_model(**served: Any) -> ModelIdentity:
    known: dict[str, Any] = {
        "name": "small",
        "backend": "mlx",
        "weights_hash": "5b" * 32,
        "model_hash": "6c" * 32,
    }
    return ModelIdentity(**{**known, **served})


MODELS = {words: a_model(**served) for words, served in WAYS.items()}


@pytest.mark.parametrize("words", WAYS)
def test_it_is_said_in_words(words: str) -> None:
    assert served_by(MODELS[words]) == words
    told = dict(provenance(a_run(model=MODELS[words])))
    assert told["Backend"] == words


def test_what_was_served_otherwise_is_not_the_same_model() -> None:
    for one, other in permutations(MODELS.values(), 2):
        assert not served_alike(one, other)
        assert not same_model(one, other)
    for each in MODELS.values():
        assert same_model(each, each)


def test_what_is_not_known_yet_does_not_tell_two_apart() -> None:
    planned = a_model(backend="cuda")
    assert served_alike(planned, a_model(**CPU))
    assert not served_alike(planned, a_model(**{**CPU, "quantization": Quantization.FOUR_BIT}))
    assert served_alike(a_model(**CPU), a_model(**CPU))
    assert served_alike(
        a_model(**{**CPU, "device": "NVIDIA H200"}), a_model(**{**CPU, "device": "NVIDIA L4"})
    )


def test_a_comparison_says_what_served_each() -> None:
    mlx, cuda, *_ = MODELS.values()
    before, after = a_run("a", model=mlx), a_run("b", model=cuda)
    rows = rows_of([1, 0] * 20, seconds=1.0), rows_of([1, 1] * 20, seconds=2.0)
    found = compared(*rows, runs=(before, after))
    differing = {each.what: (each.base, each.current) for each in found.differs if each.matters}
    assert differing == {
        "backend": ("mlx", "cuda"),
        "server": ("none", "transformers"),
        "computed in": ("none", "float32"),
        "device": ("none", "cpu"),
    }
    assert any("a difference may come from the serving alone" in each for each in found.cautions)
    beside = before.model_copy(update={"timed_with": after.id})
    timed = compared(*rows, runs=(beside, after)).latency
    assert timed is not None
    assert not timed.gates
    assert "the times tell the servers apart, not the models" in timed.why_not
    assert titles(found)[0] == "small on mlx"
    alike = compared(rows_of([1, 0]), rows_of([1, 1]), runs=(before, before))
    assert not any("serving" in each for each in alike.cautions)


def test_the_packing_is_a_difference_of_its_own() -> None:
    plain, packed = list(MODELS.values())[1:3]
    runs = a_run("a", model=plain), a_run("b", model=packed)
    found = compared(rows_of([1, 0]), rows_of([1, 1]), runs=runs)
    assert [(each.what, each.base, each.current) for each in found.differs] == [
        ("packing while loading", "none", "NF4"),
        ("computed in", "float32", "bfloat16"),
    ]


def test_a_run_goes_on_only_where_it_was_begun() -> None:
    begun = a_run(model=MODELS["mlx"])
    for words, model in MODELS.items():
        endpoint = Endpoint("http://127.0.0.1:1", "small", model)
        if words == "mlx":
            refuse_another_model(begun, endpoint)
            continue
        with pytest.raises(InputError, match="cuda"):
            refuse_another_model(begun, endpoint)


def test_a_result_on_the_card_says_what_served_it() -> None:
    manifest = a_manifest()
    told = [
        result_words(result_of(a_run(model=model), manifest)).partition(" on ")[2]
        for model in MODELS.values()
    ]
    assert told[0] == ""
    assert told[1].startswith("cuda")
    assert len(set(told)) == len(told)


def test_rows_of_a_table_can_be_parted() -> None:
    run = a_run(model=list(MODELS.values())[2])
    heads, line = list(as_csv(run, rows_of([1])))
    assert "served_by" in heads.split(",")
    assert '"cuda (transformers), NF4 computed in bfloat16, on the CPU"' in line


def test_a_trend_in_the_journal_has_one_backend(tmp_path: Path) -> None:
    start = datetime(2026, 11, 21, tzinfo=UTC)
    rows = journal_run.rows()
    for at, model in enumerate([*MODELS.values(), *MODELS.values()]):
        report = journal_run.report(rows, model=model)
        now = start + timedelta(minutes=at)
        write_entry(tmp_path, report, rows, goal=f"Step {at}", now=now)
    text = render_journal(tmp_path).read_text()
    trends = [line for line in text.splitlines() if line.startswith("Overall")]
    assert len(trends) == len(WAYS)
    assert {len(line.partition("newest: ")[2]) for line in trends} == {2}
    lines = [line for line in text.splitlines() if "Step " in line]
    assert sum("on the CPU" in line for line in lines) == 4
    assert sum("mlx" in line for line in lines) == 2


@pytest.mark.parametrize(
    ("dtype", "quantization", "on_gpu", "computed_in"),
    [
        ("float32", Quantization.NONE, False, None),
        ("bfloat16", Quantization.NONE, True, None),
        ("float32", Quantization.NONE, True, "bfloat16"),
        ("bfloat16", Quantization.FOUR_BIT, True, "bfloat16"),
        ("bfloat16", Quantization.FOUR_BIT, False, "float32"),
        # mlx packed it, and it is unpacked into the type of its scales.
        ("4-bit, group 32", Quantization.NONE, False, None),
    ],
)
def test_the_type_is_told_where_it_is_not_that_of_the_weights(
    dtype: str,
    quantization: Quantization,
    computed_in: str | None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    on_gpu: bool,
) -> None:
    gpu = Gpu(0, "GPU-1", "NVIDIA H200", "580.95", 1, 1, "9.0")
    monkeypatch.setattr(cuda_env, "gpus", lambda: (gpu,))
    found = cuda_env.as_served(a_model(dtype=dtype), quantization, on_gpu=on_gpu)
    device = "NVIDIA H200" if on_gpu else "cpu"
    assert (found.server, found.device, found.computed_in) == ("transformers", device, computed_in)


def test_the_card_says_what_trained_it_and_how_the_base_was_packed() -> None:
    trained = a_manifest()
    assert trained_by(trained) == "mlx"
    assert "by mlx." in write_card(trained)
    packed = {"quantization": Quantization.FOUR_BIT, "double_quantization": True}
    plan = trained.plan.model_copy(update=packed)
    by_cuda = trained.model_copy(update={"backend": "cuda", "plan": plan})
    told = "cuda, base packed as NF4, double quantisation"
    assert trained_by(by_cuda) == told
    assert f"by {told}." in write_card(by_cuda)
    row = next(line for line in write_card(by_cuda).splitlines() if line.startswith("| Trained by"))
    assert told in row

"""What a training had to do with a suite stays said, whatever is made of suite or adapter."""

import struct
from pathlib import Path

import pytest

from punie.adapters.export import export_gguf
from punie.adapters.fuse import base_of, fuse_adapter
from punie.adapters.manifest import result_of, write_manifest
from punie.adapters.registry import Entry, find_adapter
from punie.adapters.stamps import stamps_of
from punie.backends.local import LocalModel
from punie.cli.adapter import stamps
from punie.errors import ModelError
from punie.models.gguf_notes import TIES, gguf_text
from punie.models.manifest import MANIFEST, read_manifest
from punie.models.ties import ties_of_model, written
from punie.records.adapter import AdapterManifest
from punie.records.run import ModelIdentity, Run
from punie.records.suite import EvalSuite, Sampling, suite_hash
from punie.records.trust import Checks
from punie.suites.catalog import builtin_suite
from synthetic_adapter import a_manifest
from synthetic_run import synthetic_report
from test_adapters_registry import of_punie


@pytest.fixture(scope="module")
def suite() -> EvalSuite:
    return builtin_suite("baseline")


def hashes(suite: EvalSuite, count: int | None = None) -> tuple[str, ...]:
    return tuple(prompt.hash for prompt in suite.prompts[:count])


def chosen_by(suite: EvalSuite, manifest: AdapterManifest, leaked: int = 0) -> AdapterManifest:
    changes = {
        "by": suite.name,
        "suite_hash": suite.hash,
        "prompts": hashes(suite),
        "candidates": {40: 0.5, 80: 0.75},
    }
    return manifest.model_copy(
        update={
            "chosen": manifest.chosen.model_copy(update=changes),
            "leaked_prompts": hashes(suite, leaked),
        }
    )


def renamed(suite: EvalSuite, prompts: int | None = None) -> EvalSuite:
    """The same prompts, or the first of them, under another name and with another sampling."""
    asked, sampling = suite.prompts[:prompts], Sampling(max_tokens=77)
    changes = {"name": "final", "sampling": sampling, "prompts": asked}
    return suite.model_copy(update=changes | {"hash": suite_hash("final", sampling, asked)})


def run_of(model: str, suite: EvalSuite, adapter: str | None = None) -> Run:
    run = synthetic_report(12)[0].run
    identity = ModelIdentity(name=model, backend="mlx", adapter=adapter)
    return run.model_copy(update={"model": identity, "suite_hash": suite.hash})


def test_a_renamed_suite_is_still_the_one_that_chose(suite: EvalSuite) -> None:
    ties = chosen_by(suite, a_manifest(), leaked=2).ties
    selection, leakage = stamps_of(ties, renamed(suite))
    assert "Selected on test: this suite chose" in selection.sentence
    assert "the best of 2" in selection.sentence
    assert "hold 2 prompts of this suite" in leakage.sentence


def test_how_many_prompts_chose_is_said(suite: EvalSuite) -> None:
    few = suite.model_copy(update={"prompts": suite.prompts[:3]})
    ties = chosen_by(few, a_manifest()).ties
    (selection,) = stamps_of(ties, renamed(suite))
    assert f"3 of this suite's {len(suite.prompts)} prompts chose" in selection.sentence


def test_other_prompts_are_not_stamped(suite: EvalSuite) -> None:
    ties = chosen_by(suite, a_manifest(), leaked=2).ties
    other = suite.prompts[0].__class__(id="x", messages=suite.prompts[0].messages, hash="0" * 64)
    assert stamps_of(ties, suite.model_copy(update={"prompts": (other,), "hash": "1"})) == ()


def test_the_card_s_result_has_what_the_run_was_told(suite: EvalSuite) -> None:
    manifest, copy = chosen_by(suite, a_manifest(), leaked=2), renamed(suite)
    run = run_of("m", copy).model_copy(
        update={"checks": Checks(findings=stamps_of(manifest.ties, copy))}
    )
    assert result_of(run, manifest).stamps == ("selected on test", "leaked")
    unaware = run.model_copy(update={"checks": Checks()})
    assert result_of(unaware, manifest).stamps == ()


@pytest.fixture
def trained(tiny_model: Path, tmp_path: Path, suite: EvalSuite) -> tuple[Entry, LocalModel]:
    """An adapter that the suite chose, and its base."""
    folder = of_punie(tiny_model, tmp_path / "adapters" / "mine")
    manifest = read_manifest(folder)
    assert manifest
    write_manifest(folder, chosen_by(suite, manifest, leaked=1))
    entry = find_adapter(tmp_path, "mine")
    return entry, base_of(entry, tmp_path, str(tiny_model))


def names(run: Run, adapter: Path | None, suite: EvalSuite) -> list[str]:
    return [finding.name for finding in stamps(run, adapter, suite)]


def test_what_is_made_of_an_adapter_stays_stamped(
    trained: tuple[Entry, LocalModel], tmp_path: Path, suite: EvalSuite, tiny_model: Path
) -> None:
    entry, base = trained
    both = ["selection", "leakage"]
    assert names(run_of(str(tiny_model), suite, "mine"), entry.path, suite) == both
    assert names(run_of(str(tiny_model), suite), None, suite) == []

    fuse_adapter(entry, base, tmp_path / "fused")
    fused = run_of(str(tmp_path / "fused"), suite)
    assert names(fused, None, renamed(suite)) == both

    file = export_gguf(entry, base, tmp_path / "mine.gguf").path
    assert names(run_of(str(file), suite), None, renamed(suite)) == both

    elsewhere = fused.model.model_copy(update={"backend": "endpoint"})
    assert names(fused.model_copy(update={"model": elsewhere}), None, suite) == []


def test_an_account_that_cannot_be_read_is_named(
    trained: tuple[Entry, LocalModel], tmp_path: Path
) -> None:
    fuse_adapter(*trained, tmp_path / "fused")
    account = tmp_path / "fused" / MANIFEST
    account.write_text('{"kind": "fused"}')
    with pytest.raises(ModelError, match="cannot be read"):
        ties_of_model(str(tmp_path / "fused"))
    for somebody_s in ("{", "[]", '{"mine": 1}'):
        account.write_text(somebody_s)
        assert ties_of_model(str(tmp_path / "fused")) == ()


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def test_a_text_is_found_behind_every_kind_of_value(tmp_path: Path) -> None:
    ties = written([a_manifest().ties])
    pairs = [
        string(b"n") + struct.pack("<II", 4, 7),
        string(b"d") + struct.pack("<Id", 12, 1.0),
        string(b"f") + struct.pack("<IIQ3f", 9, 6, 3, 1, 2, 3),
        string(b"words") + struct.pack("<IIQ", 9, 8, 2) + string(b"a") + string(b"bc"),
        string(b"other") + struct.pack("<I", 8) + string(b"text"),
        string(TIES.encode()) + struct.pack("<I", 8) + string(ties.encode()),
    ]
    whole = b"GGUF" + struct.pack("<IQQ", 3, 0, len(pairs)) + b"".join(pairs)
    file = tmp_path / "x.gguf"
    file.write_bytes(whole)
    assert gguf_text(file, TIES) == ties
    assert gguf_text(file, "none") is None
    for torn in range(0, len(whole), 7):
        file.write_bytes(whole[:torn])
        assert gguf_text(file, TIES) in (None, ties)
    for odd in (struct.pack("<II", 77, 1), struct.pack("<IIQ", 9, 8, 2**60)):
        file.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60) + string(b"k") + odd)
        assert gguf_text(file, TIES) is None

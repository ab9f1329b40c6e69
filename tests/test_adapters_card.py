"""The card and the manifest: what an adapter says of itself."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from punie.adapters.card import hub_id, shown_name, write_card
from punie.adapters.manifest import CARD, add_result, result_of, write_manifest
from punie.errors import InputError, ModelError
from punie.models.manifest import MANIFEST, read_manifest
from punie.records.datacheck import DataFinding, Severity
from punie.records.run import Provenance
from punie.records.training import Method
from punie.reporting.training_markdown import training_markdown
from synthetic_adapter import a_manifest, a_result
from synthetic_run import synthetic_report

HOSTILE = "![x](http://evil/p.png)<script>alert(1)</script>\n---\nlicense: mit\n`$(rm -rf)`| @you"


def front_matter(card: str) -> dict[str, Any]:
    _, front, _ = card.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(front)
    return found


def test_a_card_says_what_was_trained_on_what_and_how_it_did() -> None:
    card = write_card(a_manifest(results=(a_result(stamps=("leaked",)),)))
    front = front_matter(card)
    assert front["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert front["base_model_relation"] == "adapter"
    assert front["library_name"] == "mlx"
    assert front["pipeline_tag"] == "text-generation"
    assert front["tags"] == ["mlx", "punie", "lora"]
    assert "license" not in front  # nobody said which
    for said in (
        "# tiny-weather",
        "| `weather` @`999999999999` | 90.0 % [78–96] (leaked) |",
        "`weather` @`dddddddddddd`, in `data/weather`",
        "**Kept: iteration 80, by validation loss 0.123**",
        "100 iterations of 100 (3.3 epochs): all iterations were done.",
        "| Tokens in the loss | 12,345 |",
        "| Peak memory | 2 GB |",
        "| rank, alpha | 8, 32 (scale 4) |",
        "Licence of the data: CC0-1.0.",
        "punie eval data/suites/weather.yaml --model smollm2-135m --adapter adapters/tiny-weather",
        "mlx_lm.server --model BASE_FOLDER --adapter-path tiny-weather",
        "e" * 64,
    ):
        assert said in re.sub(" +", " ", card), said
    assert card.count("| `weather` @") == 1


def test_the_loss_is_a_line_and_a_short_table() -> None:
    card = write_card(a_manifest())
    line = next(line for line in card.splitlines() if line.startswith("Training loss"))
    assert "█" in line
    assert line.startswith("Training loss 4.00 `")
    assert line.endswith("` 0.0400")
    (kept,) = [line for line in card.splitlines() if "kept |" in line]
    assert kept.split() == ["|", "**80**", "kept", "|", "0.0500", "|", "0.0625", "|"]


def test_a_resumed_training_says_whether_it_is_exact() -> None:
    plain = a_manifest().training
    for exact, said in ((True, "as it would have in one"), (False, "perhaps otherwise")):
        training = plain.model_copy(update={"parts": 3, "exact": exact})
        card = write_card(a_manifest(training=training))
        assert f"Trained in 3 parts; it ended {said}" in card
    assert "parts" not in write_card(a_manifest())


def test_hostile_names_stay_words() -> None:
    plain = a_manifest()
    card = write_card(
        a_manifest(
            name=HOSTILE,
            base=plain.base.model_copy(update={"name": HOSTILE, "dtype": HOSTILE}),
            data=plain.data.model_copy(
                update={"name": HOSTILE, "origin": HOSTILE, "licence": HOSTILE}
            ),
            suite=HOSTILE,
            chosen=plain.chosen.model_copy(update={"by": HOSTILE}),
            findings=(DataFinding(check="leakage", severity=Severity.ERROR, what=HOSTILE),),
            results=(a_result(suite=HOSTILE, stamps=(HOSTILE,)),),
        )
    )
    front = front_matter(card)
    assert set(front) == {"library_name", "pipeline_tag", "tags"}
    body = card.split("---\n", 2)[2]
    assert "<script>" not in body
    assert "![x](" not in body
    assert "\nlicense: mit" not in body
    fences = [line for line in body.splitlines() if line.startswith("```")]
    assert len(fences) == 4


def test_a_hub_data_set_and_a_fused_model_have_their_links() -> None:
    plain = a_manifest()
    hub = a_manifest(data=plain.data.model_copy(update={"origin": "org/calls@abc123"}))
    assert front_matter(write_card(hub))["datasets"] == ["org/calls"]
    assert "datasets" not in front_matter(write_card(plain))
    fused = write_card(plain, fused=True)
    assert front_matter(fused)["base_model_relation"] == "finetune"
    assert "--adapter" not in fused
    other = a_manifest(base=plain.base.model_copy(update={"name": "org/model"}))
    assert "mlx_lm.server --model org/model --adapter-path tiny-weather" in write_card(other)
    full = a_manifest(plan=plain.plan.model_copy(update={"method": Method.FULL}))
    assert "| rank" not in write_card(full)


@pytest.mark.parametrize(
    ("name", "shown", "hub"),
    [
        ("smollm2-135m", "smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("org/model", "org/model", "org/model"),
        ("/home/somebody/models/mine", "mine", None),
        ("~/models/mine.gguf", "mine.gguf", None),
        ("./mine", "mine", None),
    ],
)
def test_a_card_shows_no_path_of_this_machine(name: str, shown: str, hub: str | None) -> None:
    assert shown_name(name) == shown
    assert hub_id(name) == hub
    base = a_manifest().base.model_copy(update={"name": name})
    assert "somebody" not in write_card(a_manifest(base=base))


def test_the_card_in_git_names_no_folder_at_home(tmp_path: Path) -> None:
    folder = tmp_path / "adapters" / "mine"
    folder.mkdir(parents=True)
    made = Provenance(command=f"punie train {tmp_path}/data/mine --model /home/somebody/model")
    write_manifest(folder, a_manifest(provenance=made, data_path="/home/somebody/data"))
    card = (folder / CARD).read_text()
    assert "punie train data/mine --model …/model" in card
    assert "somebody" not in card
    assert read_manifest(folder) == a_manifest(provenance=made, data_path="/home/somebody/data")


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    manifest = a_manifest()
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert (tmp_path / CARD).read_text().startswith("---\n")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([CARD, MANIFEST])


def test_a_run_is_noted_once_whatever_the_order(tmp_path: Path) -> None:
    write_manifest(tmp_path, a_manifest())
    later = a_result("r2", created_at="2026-11-21T11:00:00+00:00")
    add_result(tmp_path, later)
    add_result(tmp_path, a_result("r1", score=0.1))
    manifest = add_result(tmp_path, a_result("r1"))
    assert [each.run for each in manifest.results] == ["r1", "r2"]
    assert read_manifest(tmp_path) == manifest
    card = (tmp_path / CARD).read_text()
    assert card.count("90.0 % [78–96]") == 2


def test_the_stamps_of_a_result() -> None:
    run = synthetic_report(12)[0].run
    manifest = a_manifest(
        chosen=a_manifest().chosen.model_copy(update={"suite_hash": run.suite_hash}),
        leaked_suites={run.suite_hash: 3},
    )
    result = result_of(run, manifest)
    assert result.run == run.id
    assert {"selected on test", "leaked"} <= set(result.stamps)
    assert result.score == (run.summary.score.value if run.summary and run.summary.score else None)
    assert "leaked" not in result_of(run, a_manifest()).stamps


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    with pytest.raises(InputError, match=r"has no punie\.json"):
        add_result(tmp_path, a_result())
    for text in ("{", "[]", '{"name": 3}'):
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(ModelError, match="is no adapter's manifest"):
            read_manifest(tmp_path)


def test_results_of_several_programs_are_all_kept(tmp_path: Path) -> None:
    write_manifest(tmp_path, a_manifest())
    program = (
        "import sys; from pathlib import Path; from punie.adapters.manifest import add_result;"
        "from synthetic_adapter import a_result;"
        "[add_result(Path(sys.argv[1]), a_result(sys.argv[2] + str(n))) for n in range(10)]"
    )
    several = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path), name], cwd=Path(__file__).parent
        )
        for name in "ab"
    ]
    assert [each.wait(timeout=60) for each in several] == [0, 0]
    manifest = read_manifest(tmp_path)
    assert manifest
    assert len(manifest.results) == 20
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([CARD, MANIFEST])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"suite": "/etc/passwd"}, "is not a file of the project"),
        ({"suite": "../../else.yaml"}, "is not a file of the project"),
        ({"suite": "~/else.yaml"}, "is not a file of the project"),
        ({"suite": "x\x1b]0;owned"}, "suite has characters that no name has: x␛"),
        ({"name": "mine\ntouch /tmp/owned"}, "name has characters"),
        ({"data_path": "data\u202e"}, "data_path has characters"),
    ],
)
def test_a_manifest_with_names_that_none_has_is_refused(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    (tmp_path / MANIFEST).write_text(a_manifest(**changes).model_dump_json())
    with pytest.raises(ModelError) as caught:
        read_manifest(tmp_path)
    assert said in caught.value.message
    assert "\x1b" not in caught.value.message


def test_numbers_that_nobody_can_have_are_refused(tmp_path: Path) -> None:
    text = a_manifest().model_dump_json()
    huge = "9" * 400
    for field in ('"parameters":134515008', '"tokens":12345', '"rows":120', '"seconds":310.0'):
        assert field in text
        key = field.partition(":")[0]
        (tmp_path / MANIFEST).write_text(text.replace(field, f"{key}:{huge}"))
        with pytest.raises(ModelError, match="is no adapter's manifest"):
            read_manifest(tmp_path)


def test_only_errors_were_accepted() -> None:
    findings = tuple(
        DataFinding(check="x", severity=severity, what=f"{severity.value} there")
        for severity in Severity
    )
    for text in (
        write_card(a_manifest(findings=findings)),
        training_markdown(a_manifest(findings=findings)),
    ):
        assert "- Accepted: error there" in text
        assert "- Found: warning there" in text
        assert "- Found: note there" in text

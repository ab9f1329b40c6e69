"""The documented example on SmolLM2-135M, with a few rows and iterations of it: about a minute.

On cuda it is the QLoRA that is usual there, a matter of minutes on a CPU, so only on demand:
`make test EXTRAS=cuda ARGS="-m loop"`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from punie.records.result import EvalResult
from punie.records.training import Quantization
from punie.store.runs import RunStore
from train_project import Project, make_project

pytestmark = pytest.mark.model

EXAMPLE = Path(__file__).parents[1] / "data"
ROWS = {"train": 40, "valid": 4, "test": 4}
ITERATIONS, VALIDATE_EVERY = 8, 4


@pytest.fixture
def project(tmp_path: Path, smollm2: Path) -> Project:
    """The example, cut short: its first rows, and the first prompts of its suite."""
    project = make_project(tmp_path, smollm2)
    data = project.folder / "data"
    files = {f"greenhouse/{split}.jsonl": count for split, count in ROWS.items()}
    for name, count in {**files, "suites/greenhouse.jsonl": ROWS["test"]}.items():
        lines = (EXAMPLE / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_text("".join(lines[:count]), encoding="utf-8")
    plan: dict[str, Any] = yaml.safe_load((EXAMPLE / "greenhouse" / "plan.yaml").read_text())
    plan |= {"iterations": ITERATIONS, "validate_every": VALIDATE_EVERY, "batch_size": 2}
    (data / "greenhouse" / "plan.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    # The plan calls the model by its name: it is where the fixture put it.
    env = {"PUNIE_CACHE": str(smollm2.parents[1]), "OPENBLAS_NUM_THREADS": "2"}
    return replace(project, env=project.env | env)


@pytest.mark.parametrize("backend", ["mlx", pytest.param("cuda", marks=pytest.mark.loop)])
def test_the_example_learns_and_its_adapter_is_served(project: Project, backend: str) -> None:
    if backend == "cuda":
        pytest.importorskip("bitsandbytes")
    plan = ("--config", "data/greenhouse/plan.yaml")
    trained = project.punie("train", "--backend", backend, *plan, wait_s=1800)
    (name,) = project.made
    assert f"adapters/{name}" in trained.stdout
    manifest = project.manifest(name)
    assert manifest.base.name == "smollm2-135m"
    assert (manifest.plan.learning_rate, manifest.plan.iterations) == (5e-4, ITERATIONS)
    assert manifest.training.steps == ITERATIONS
    train = [point.train for point in manifest.training.losses if point.train is not None]
    assert len(train) == ITERATIONS
    assert sum(train[-3:]) < sum(train[:3])
    valid = manifest.chosen.candidates
    assert valid[2 * VALIDATE_EVERY] < valid[VALIDATE_EVERY]
    assert manifest.chosen.step == 2 * VALIDATE_EVERY
    assert manifest.backend == backend
    packed = Quantization.FOUR_BIT if backend == "cuda" else Quantization.NONE
    assert manifest.plan.quantization is packed
    measuring = ("eval", "greenhouse", "--adapter", name, "--backend", backend, "--no-checks")
    asked = project.json(*measuring)["data"]
    assert asked["run"]["model"]["backend"] == backend
    assert asked["run"]["model"]["adapter_hash"] == manifest.adapter_hash
    with RunStore(project.folder) as store:
        outcomes = [outcome for _, outcome in store.rows(store.find("last").id)]
    answers = [each for each in outcomes if isinstance(each, EvalResult)]
    assert len(answers) == len(outcomes) == ROWS["test"]
    assert all(answer.completion.completion_tokens for answer in answers)

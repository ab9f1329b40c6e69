"""A real training on the tiny model, from a plan of mlx_lm's to an entry that review can check."""

import json
import os
import subprocess
import sys
from pathlib import Path

from punie.journal.check import check_journal
from punie.models.manifest import read_manifest

PLAN = """\
model: {model}
train: true
data: data/colours
fine_tune_type: lora
optimizer: adamw
optimizer_config:
  adamw: {{weight_decay: 0.05}}
num_layers: -1
batch_size: 4
iters: 16
steps_per_eval: 4
learning_rate: 1e-5
adapter_path: adapters/colours
lora_parameters: {{rank: 4, scale: 10.0, dropout: 0.05}}
lr_schedule: {{name: cosine_decay, arguments: [1e-3, 14], warmup: 2}}
mask_prompt: true
steps_per_report: 1
"""


def rows(first: int, last: int) -> str:
    return "".join(
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"which colour has number {number}?"},
                    {"role": "assistant", "content": f"colour {number % 3}"},
                ]
            }
        )
        + "\n"
        for number in range(first, last)
    )


def test_a_training_by_mlx_lms_plan_is_journaled_and_checks_clean(
    tmp_path: Path, tiny_model: Path
) -> None:
    project = tmp_path / "project"
    data = project / "data" / "colours"
    data.mkdir(parents=True)
    (data / "train.jsonl").write_text(rows(0, 22))
    (data / "valid.jsonl").write_text(rows(30, 36))
    (project / "punie.toml").write_text("")
    (project / "plan.yaml").write_text(PLAN.format(model=tiny_model))
    env = os.environ | {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "MLX_DISABLE_COMPILE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "punie", "train", "--config", "plan.yaml"]
    done = subprocess.run(
        [*command, "--journal", "Learn colours"],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "steps_per_report: punie reports every iteration" in " ".join(done.stderr.split())
    manifest = read_manifest(project / "adapters" / "colours")
    assert manifest is not None
    assert (manifest.plan.scale, manifest.plan.layers, manifest.plan.iterations) == (10, 2, 16)
    assert manifest.plan.masking == "last"
    (entry,) = project.glob("journal/2*/*/*")
    assert {each.name for each in entry.iterdir()} == {"entry.md", "training.json", "loss.svg"}
    check = check_journal(project, [entry.name], strict=True)
    assert (check.findings, check.warnings) == ((), ())
    written = "".join(each.read_text() for each in entry.iterdir())
    assert str(tmp_path) not in written

"""The torch trainer with a base that is dealt out, whatever its size.

    sharded_train.py JOB.json KEPT

Each process writes into KEPT.RANK how many bytes of frozen weights it has in its end.
"""
# torch is only partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import sys
from pathlib import Path

from punie.backends.workers.torch_engine import TorchEngine
from punie.backends.workers.train_program import main
from punie.records.training import TrainJob

engines: list[TorchEngine] = []


def make_engine(_job: TrainJob) -> TorchEngine:
    engines.append(TorchEngine(sharded=True))
    return engines[0]


code = main(make_engine)
model = engines[0]._model  # pyright: ignore[reportPrivateUsage]
frozen = [
    getattr(each, "_local_tensor", each) for each in model.parameters() if not each.requires_grad
]
kept = sum(each.numel() * each.element_size() for each in frozen)
Path(f"{sys.argv[2]}.{engines[0].rank}").write_text(str(kept))
sys.exit(code)

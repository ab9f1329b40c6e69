"""The yardstick of the real model: mlx_lm's own `batch_generate`, in one process, no server.

python tests/bench/batch_generate.py MODEL_FOLDER CHATS.jsonl MAX_TOKENS CONCURRENCY

Prints one JSON line: wall seconds of the generation alone, and the tokens that it wrote.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# mlx_lm carries no types.

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

from punie.backends.blas import find_openblas


def main() -> None:
    folder, file, max_tokens, concurrency = sys.argv[1:]
    if blas := find_openblas():
        ctypes.CDLL(str(blas), mode=ctypes.RTLD_GLOBAL)
    from mlx_lm import batch_generate, load

    loaded: Any = load(folder)
    model, tokenizer = loaded[0], loaded[1]
    rows = [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]
    prompts = [
        tokenizer.apply_chat_template(row["messages"], add_generation_prompt=True, tokenize=True)
        for row in rows
    ]
    batch_generate(model, tokenizer, prompts[:2], max_tokens=2)
    began = time.perf_counter()
    answers = batch_generate(
        model,
        tokenizer,
        prompts,
        max_tokens=int(max_tokens),
        completion_batch_size=int(concurrency),
    )
    wall_s = time.perf_counter() - began
    sys.stdout.write(json.dumps({"wall_s": wall_s, "tokens": answers.stats.generation_tokens}))


if __name__ == "__main__":
    main()

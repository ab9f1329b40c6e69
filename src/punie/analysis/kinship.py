"""Whether a judge is kin of what it judges: models favour answers like their own.

Source: Panickssery et al. 2024, "LLM evaluators recognize and favor their own generations".
"""

import re

from punie.records.judgement import JudgeIdentity
from punie.records.run import ModelIdentity

_WORDS = re.compile(r"[a-z]+")
_NO_NAME = frozenset({"meta", "the", "mlx", "hf", "my", "model", "models", "base", "tiny", "chat"})
"""Words that names of unrelated models begin with."""


def kinship(judge: JudgeIdentity, judged: ModelIdentity) -> str:
    """Why the two are probably kin, in one sentence; empty where nothing says so.

    The same weights, the same name, or names that begin with the same word, as `qwen` in
    `org/Qwen2.5-7B` and `qwen3-4b`. Nothing more can be told from outside.
    """
    if judge.weights_hash and judge.weights_hash == judged.weights_hash:
        return "The judge has the very weights that it judges."
    if judge.model == judged.name:
        return f"The judge goes by the name of what it judges, {judged.name}."
    stem = name_stem(judge.model)
    if stem and stem == name_stem(judged.name):
        return f"Judge and judged are both called {stem}: probably one family."
    return ""


def name_stem(name: str) -> str:
    """The word that the names of one family begin with: `llama` of `org/Meta-Llama-3-8B.gguf`."""
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower()
    return next((word for word in _WORDS.findall(last) if word not in _NO_NAME), "")

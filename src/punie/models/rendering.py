"""Rendering a model's chat templates: in a child of its own, which has limits and an end."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from punie.errors import ModelError
from punie.models.worker import worker_argv

DEADLINE_S = 15.0
"""Wall-clock time of the child; its processor time and memory are limited by itself."""
_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


def render(
    folder: Path,
    templates: Mapping[str, str],
    settings: Mapping[str, Any],
    renderings: Sequence[tuple[str, Mapping[str, Any]]],
) -> list[str]:
    """What each rendering writes, a template's name and its variables; "" where it is refused.

    `folder` is the model's, for the message; `settings` has the special tokens. Raises ModelError
    for a template that takes too much time or memory, or writes without end.
    """
    request = {
        "templates": dict(templates),
        "tokens": {name: _token_text(settings.get(name)) for name in _TOKENS},
        "renderings": [{"template": name, "variables": each} for name, each in renderings],
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            worker_argv("template"),
            input=json.dumps(request).encode(),
            env={k: os.environ[k] for k in ("PATH", "PYTHONPATH", "LANG") if k in os.environ},
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _endless(folder, f"takes more than {DEADLINE_S:g} s") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        # A signal is that of the limit on processor time, or of a system out of memory.
        killed = done.returncode < 0 or not said
        what = "takes too much processor time" if killed else said[-1][:200]
        raise _endless(folder, what)
    return cast("list[str]", json.loads(done.stdout)["texts"])


def _endless(folder: Path, what: str) -> ModelError:
    return ModelError(
        f"{folder}: its chat template {what}",
        hint="it would stop a server too: get another copy of the model, or mend the template",
    )


def _token_text(token: Any) -> str:
    found: Any = cast("dict[str, Any]", token).get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""

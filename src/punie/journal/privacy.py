"""What of a run may enter git: no home folder, no user's name, no address of a machine."""

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from punie.records.run import Run

_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://[^\s'\"]*", re.IGNORECASE)
_LOCAL = re.compile(r"[a-z]+://(?:127\.0\.0\.1|localhost|\[::1\])(?=[:/?#]|$)", re.IGNORECASE)
_ABSOLUTE = re.compile(r"(?<![\w.~…/:-])/(?:[^\s/'\"=:,]+/)+([^\s/'\"=:,]*)")
_WINDOWS = re.compile(r"\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)*([^\s\\'\"]*)")


@dataclass(frozen=True, slots=True)
class Privacy:
    """Rewrites paths to stand relative to the project `root`, or to `~`."""

    root: Path
    home: Path

    def text(self, text: str) -> str:
        """Make paths relative or `~`, cut other folders to `…/name`, and addresses to `scheme://…`.

        An address of this machine keeps only that: `http://localhost`.
        """
        text = _URL.sub(_no_address, text)
        for root in {str(self.root), str(self.root.resolve())}:
            text = re.sub(rf"{re.escape(root)}/(?=[^\s'\"])", "", text)
            text = re.sub(rf"{re.escape(root)}(?![\w.-])", ".", text)
        for home in {str(self.home), str(self.home.resolve())} - {"/"}:
            text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
        return _WINDOWS.sub(r"…/\1", _ABSOLUTE.sub(r"…/\1", text))

    def run(self, run: Run) -> Run:
        """Rewrite every text of a run's head. Its URL is left out: the database has it."""
        head = run.model_dump(mode="json", exclude={"summary": True, "model": {"url"}})
        rewritten = Run.model_validate(self._value(head))
        # The summary's names are those of prompts and categories, which stay as they are.
        return rewritten.model_copy(update={"summary": run.summary})

    def _value(self, value: JsonValue) -> JsonValue:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, dict):
            return {key: self._value(each) for key, each in value.items()}
        return value


def _no_address(match: re.Match[str]) -> str:
    local = _LOCAL.match(match.group())
    return f"{match[1]}://localhost" if local else f"{match[1]}://…"

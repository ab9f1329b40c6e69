"""What may leave this machine: no home folder, no name of a user, no address of a machine."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from punie.records.adapter import AdapterManifest
from punie.records.benchmark import BenchmarkResult
from punie.records.duel import DuelSummary
from punie.records.judgement import JudgeIdentity
from punie.records.labels import Calibration
from punie.records.run import Run

_URL = re.compile(r"\b([a-z][a-z0-9+.-]*)://[^\s'\"]*", re.IGNORECASE)
_LOCAL = re.compile(r"[a-z]+://(?:127\.0\.0\.1|localhost|\[::1\])(?=[:/?#]|$)", re.IGNORECASE)
_ABSOLUTE = re.compile(r"(?<![\w.~…/:-])/(?:[^\s/'\"=:,]+/)+([^\s/'\"=:,]*)")
_WINDOWS = re.compile(r"\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)*([^\s\\'\"]*)")
_MACHINE = re.compile(
    r"(?<![\w.-])(?:"
    r"(?!127\.)\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?"  # an IPv4 address, but this machine's own
    r"|\[[0-9a-f:]*:[0-9a-f:]+\](?::\d{1,5})?"  # an IPv6 address, as a URL writes it
    r"|[\w.+-]+@[\w.-]*\w"  # user@host
    r"|(?:[\w-]+\.)+(?:local|lan|internal|home|localdomain)(?::\d{1,5})?"
    r"|(?!localhost:)(?=[\w.-]*[a-z])[\w.-]+:\d{4,5}"  # host:port
    r")(?![\w.-]*\w)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Privacy:
    """Rewrites paths to stand relative to the project `root`, or to `~`.

    `host` is this machine's name, which messages of a server may hold.
    """

    root: Path
    home: Path
    host: str = ""

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

    def message(self, text: str) -> str:
        """Rewrite what a server or the system said: addresses and names of machines go as well."""
        text = _MACHINE.sub("…", self.text(text))
        if self.host:
            text = re.sub(rf"(?<![\w-]){re.escape(self.host)}(?![\w-])", "…", text)
        return text

    def run(self, run: Run) -> Run:
        """Rewrite every text of a run's head. Its URL and its sources stay in the database."""
        left_out = {
            "summary": True,
            "sources": True,
            "model": {"url"},
            "judged": {"judge": {"url"}},
        }
        head = run.model_dump(mode="json", exclude=left_out)
        said = {key: head.pop(key) for key in ("checks", "incidents")}
        head = _rewritten(head, self.text) | _rewritten(said, self.message)
        rewritten = Run.model_validate(head)
        # The summary's names are those of prompts and categories, which stay as they are.
        return rewritten.model_copy(update={"summary": run.summary})

    def duel(self, duel: DuelSummary) -> DuelSummary:
        """Rewrite who judged, and leave out the judge's words: they may hold those of answers."""
        said = {name: self.text(getattr(duel, name)) for name in ("family", "calibrated")}
        duels = tuple(replace(each, reasons=(), fault_message="") for each in duel.duels)
        return duel.model_copy(update={"judge": self._judge(duel.judge), "duels": duels, **said})

    def calibration(self, found: Calibration) -> Calibration:
        """Rewrite who judged; where the labels lie stays in the project."""
        return found.model_copy(update={"judge": self._judge(found.judge), "labels_file": ""})

    def _judge(self, judge: JudgeIdentity) -> JudgeIdentity:
        return judge.model_copy(update={"url": None, "model": self.text(judge.model)})

    def manifest(self, manifest: AdapterManifest) -> AdapterManifest:
        """Rewrite every text of an adapter's manifest; of findings no row's words are kept."""
        data = _rewritten(manifest.model_dump(mode="json"), self.text)
        for finding in data["findings"]:
            finding["details"] = {}
            for place in finding["places"]:
                # In a data file it is what a row says; of a suite it is the prompt's id.
                place["what"] = "" if place["line"] else place["what"]
        return AdapterManifest.model_validate(data)

    def benchmark(self, result: BenchmarkResult) -> BenchmarkResult:
        """Rewrite every text of a benchmark; its URL stays in the database."""
        data = _rewritten(result.model_dump(mode="json", exclude={"model": {"url"}}), self.text)
        data["problems"] = _rewritten(data["problems"], self.message)
        for cell in (*data["grid"], *(data["serving"] or {"cells": ()})["cells"]):
            cell["why"] = self.message(cell["why"])
        return BenchmarkResult.model_validate(data)


def _rewritten(value: Any, rewrite: Callable[[str], str]) -> Any:
    """A JSON value with each of its texts rewritten; names of keys stay."""
    if isinstance(value, str):
        return rewrite(value)
    if isinstance(value, list):
        return [_rewritten(each, rewrite) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        pairs = cast("dict[str, Any]", value).items()
        return {key: _rewritten(each, rewrite) for key, each in pairs}
    return value


def _no_address(match: re.Match[str]) -> str:
    local = _LOCAL.match(match.group())
    return f"{match[1]}://localhost" if local else f"{match[1]}://…"

"""What one `punie train` asks for, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from punie.records.adapter import AdapterManifest
from punie.records.preflight import Preflight
from punie.training.progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainWish:
    """What the command line asked for; None means: as configured."""

    data: str | None = None
    model: str | None = None
    backend: str | None = None
    processes: int | None = None
    name: str | None = None
    config: Path | None = None
    select_by: str | None = None
    allow_leakage: bool = False
    dry_run: bool = False
    resume: str | None = None
    finish: bool = False
    journal: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    quiet: bool = False
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What came of it: an adapter, a training that was stopped, or a look ahead."""

    name: str
    preflight: Preflight | None = None
    manifest: AdapterManifest | None = None
    adapter: Path | None = None
    entry: Path | None = None
    progress: Progress | None = None
    stopped: bool = False
    warnings: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The data of the command's JSON envelope."""
        return {
            "name": self.name,
            "preflight": self.preflight.model_dump(mode="json") if self.preflight else None,
            "adapter": str(self.adapter) if self.adapter else None,
            "manifest": self.manifest.model_dump(mode="json") if self.manifest else None,
            "stopped": self.stopped,
            "resume": f"punie train --resume {self.name}" if self.stopped else None,
            "journal": str(self.entry) if self.entry else None,
        }

    @property
    def table(self) -> "RenderableType":
        """What a person is shown at the end."""
        from punie.reporting.training import adapter_table, preflight_table, stopped_table

        if self.manifest is not None:
            return adapter_table(self.manifest)
        if self.stopped and self.progress is not None:
            return stopped_table(self.name, self.progress.step, self.progress.iterations)
        assert self.preflight is not None
        return preflight_table(self.preflight)

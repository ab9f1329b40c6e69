"""Where the numbers of a run come from, as name and value."""

from datetime import UTC, datetime

from punie.analysis.served_by import served_by
from punie.records.run import Run
from punie.reporting import numbers
from punie.reporting.wording import own_code
from punie.text import one_line, visible


def provenance(run: Run) -> list[tuple[str, str]]:
    """Name and value of everything that traces the run; what is unknown is left out."""
    model, source = run.model, run.provenance
    sampling = run.sampling.model_dump(exclude_none=True, exclude_defaults=False)
    commit = source.git_commit or ""
    known = [
        ("Run", run.id),
        ("Started", date(run.created_at)),
        ("Command", source.command),
        ("Suite", f"{run.suite_name}, version {run.suite_version}"),
        ("Suite source", run.suite_source),
        ("Suite hash", run.suite_hash),
        ("Model", model.name),
        ("Backend", f"{served_by(model)} at {model.url}" if model.url else served_by(model)),
        ("Parameters", numbers.compact(model.parameters) if model.parameters else ""),
        ("Number format", model.dtype or ""),
        ("Weights hash", model.weights_hash or ""),
        ("Template hash", model.template_hash or ""),
        ("Code of its own", own_code(model)),
        ("Adapter", model.adapter or ""),
        ("Adapter hash", model.adapter_hash or ""),
        ("Sampling", ", ".join(f"{k} {v}" for k, v in sampling.items() if v != ())),
        ("Concurrency", str(run.concurrency)),
        ("Repeats", str(run.repeats)),
        ("Tools", run.tools_mode),
        ("Selection", ", ".join(f"{k} {v}" for k, v in run.selection.items())),
        ("Hardware", source.hardware),
        ("Platform", source.platform),
        ("Versions", ", ".join(f"{k} {v}" for k, v in source.versions.items())),
        (
            "Git",
            f"{commit}{', with uncommitted changes' if source.git_dirty else ''}" if commit else "",
        ),
    ]
    return [(name, visible(value)) for name, value in known if value]


def date(written: str) -> str:
    """Write an ISO time as people do, in UTC; anything else as it is."""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return one_line(written, 40)
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"

"""`punie config`: every setting, its value, and where that came from."""

from pathlib import Path
from typing import Any

import click

from punie.cli.output import emit_json


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def config_command(as_json: bool) -> None:  # noqa: FBT001 - click passes by name
    """Show every setting and where it comes from.

    Flags beat PUNIE_* variables (two underscores step into a table: PUNIE_JOURNAL__TEXT), these
    beat punie.toml, then [tool.punie] in pyproject.toml, then the user's own file.
    """
    from punie.settings import load_settings, setting_names

    loaded = load_settings(Path.cwd())
    rows: list[tuple[str, Any, str, str]] = []
    for name, description, default in setting_names():
        if not name.startswith("endpoints."):
            value = _value(loaded.values, name)
            rows.append((name, value, loaded.origins.get(name, "default"), description))
            continue
        for endpoint, settings in loaded.values.endpoints.items():
            full = name.replace("NAME", endpoint)
            value = getattr(settings, name.rpartition(".")[2])
            rows.append((full, value, loaded.origins.get(full, "default"), description))
        if not loaded.values.endpoints:
            rows.append((name, default, "default", description))
    if as_json:
        data = {name: {"value": value, "origin": origin} for name, value, origin, _ in rows}
        emit_json("config", {"project": str(loaded.project), "settings": data})
        return
    click.echo("\n\n".join(_as_toml(*row) for row in rows))
    click.echo(f"\nproject: {loaded.project}", err=True)


def _value(settings: Any, name: str) -> Any:
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


def _as_toml(name: str, value: Any, origin: str, description: str) -> str:
    """One setting as it would stand in punie.toml; commented out where nobody set it."""
    import json

    shown = "" if value is None else json.dumps(value, ensure_ascii=False)
    line = f"{name} = {shown}".rstrip()
    if origin == "default":
        return f"{_dim(f'# {description}')}\n{_dim(f'# {line}')}"
    return f"{_dim(f'# {description} ({origin})')}\n{line}"


def _dim(text: str) -> str:
    return click.style(text, fg="bright_black")

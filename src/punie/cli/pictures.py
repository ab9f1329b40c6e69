"""`--svg FOLDER` and `--png FOLDER`: the charts of a report as files of their own."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from punie.errors import InputError
from punie.reporting.png import has_font, png_of
from punie.reporting.svg import Chart

_Command = TypeVar("_Command", bound=Callable[..., object])


def picture_options(command: _Command) -> _Command:
    """Give a command both options; their values come as `svg` and `png`."""
    folder = click.Path(path_type=Path, file_okay=False)
    png = click.option(
        "--png",
        metavar="FOLDER",
        type=folder,
        callback=_checked,
        help="Write the charts as PNG too.",
    )
    svg = click.option("--svg", metavar="FOLDER", type=folder, help="Write the charts as SVG too.")
    return svg(png(command))


def write_pictures(
    charts: Mapping[str, Chart], *, svg: Path | None, png: Path | None
) -> list[Path]:
    """Write each chart into the folders that were asked for; gives the files.

    Raises InputError where a folder cannot be written, and what `require_png` raises.
    """
    if png is not None:
        require_png()
    written: list[Path] = []
    for folder, suffix, content in ((svg, ".svg", str.encode), (png, ".png", png_of)):
        if folder is None:
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, chart in charts.items():
                path = (folder / name).with_suffix(suffix)
                path.write_bytes(content(chart.svg))
                written.append(path)
        except OSError as error:
            raise InputError(f"{error.filename or folder}: {error.strerror or error}") from error
    return written


def require_png() -> None:
    """Raise InputError where the renderer is not installed, or the machine has no font."""
    try:
        able = has_font()
    except ImportError as error:
        raise InputError(
            "PNG needs resvg-py, which is not installed",
            hint="pip install 'punie[png]', or --svg FOLDER",
        ) from error
    if not able:
        raise InputError(
            "no font on this machine: a PNG would have no words",
            hint="install one, e.g. apt install fonts-dejavu-core, or --svg FOLDER",
        )


def _checked(_: click.Context, __: click.Parameter, folder: Path | None) -> Path | None:
    """Find out before anything is measured or compared whether a PNG can be drawn."""
    if folder is not None:
        require_png()
    return folder

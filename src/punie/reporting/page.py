"""What every HTML page of punie shares: the templates, and a style and a script of its own."""

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from punie.reporting import numbers
from punie.reporting.soundness import follows
from punie.text import one_line, visible


class Own(NamedTuple):
    """A page's own style and script, and the policy that allows exactly these two."""

    style: Markup
    script: Markup
    policy: str


@cache
def own(styles: tuple[str, ...], scripts: tuple[str, ...], chart_css: str) -> Own:
    """Join these files of the package's templates into one style and one script."""
    folder = files("punie.reporting") / "templates"
    style = "".join((folder / name).read_text("utf-8") for name in styles) + chart_css
    script = "".join((folder / name).read_text("utf-8") for name in scripts)
    policy = (
        f"default-src 'none'; style-src '{_source_hash(style)}'; "
        f"script-src '{_source_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    return Own(Markup(style), Markup(script), policy)  # noqa: S704 - files of this package


@cache
def template(name: str) -> Template:
    """A page's template, every value of which is escaped."""
    environment = Environment(
        loader=PackageLoader("punie.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        **numbers.FORMATS,
        "visible": visible,
        "one_line": one_line,
        "follows": follows,
    }
    return environment.get_template(name)


def drawing(written: str) -> Markup:
    """A chart as it stands in a page."""
    return Markup(written)  # noqa: S704 - svg escapes every label


def _source_hash(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"

"""`punie suites`: what can be measured with."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from punie.cli.output import emit_json, out, safe
from punie.errors import EXIT_GATE, InputError, SuiteError
from punie.records.suite import EvalPrompt, EvalSuite

if TYPE_CHECKING:
    from rich.table import Table

    from punie.suites.catalog import Listed

NARROW = 60
"""Columns below which a table keeps only what one cannot do without."""

as_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group()
def suites() -> None:
    """List, show and check suites.

    A suite is a YAML file, or a JSONL of chats. The project's own lie in data/suites/.
    """


@suites.command("list")
@as_json_option
def list_command(as_json: bool) -> None:  # noqa: FBT001 - click
    """The project's suites, then the built-in ones."""
    from punie.settings import find_project
    from punie.suites.catalog import list_suites

    project = find_project(Path.cwd())
    listed = list_suites(project)
    broken = [each.name for each in listed if each.error is not None]
    if as_json:
        data = [_listed_data(each, project) for each in listed]
        emit_json("suites list", data, [f"{name} has problems" for name in broken])
        return
    console = out()
    console.print(_list_table(listed, project, narrow=console.width < NARROW))
    if broken:
        click.echo(f"with problems: punie suites check {' '.join(broken)}", err=True)


@suites.command("show")
@click.argument("name")
@as_json_option
def show_command(name: str, as_json: bool) -> None:  # noqa: FBT001 - click
    """A suite's prompts, and what each expects. NAME is a suite's name or file."""
    from punie.settings import find_project
    from punie.suites.catalog import find_suite

    suite = find_suite(name, find_project(Path.cwd()))
    if as_json:
        emit_json("suites show", suite.model_dump(mode="json"))
        return
    from rich.markup import escape

    console = out()
    console.print(f"[bold]{escape(suite.name)}[/bold] version {escape(suite.version)}")
    if suite.description:
        console.print(escape(suite.description.strip()))
    sampling = suite.sampling.model_dump(exclude_defaults=True) | {
        "temperature": suite.sampling.temperature,
        "max_tokens": suite.sampling.max_tokens,
    }
    counts = Counter(prompt.category for prompt in suite.prompts)
    console.print("prompts: " + escape(", ".join(f"{n} {name}" for name, n in counts.items())))
    console.print("defaults: " + escape(", ".join(f"{k} {v}" for k, v in sampling.items())))
    console.print(f"source: {escape(suite.source)}, hash {suite.hash[:12]}")
    console.print(_prompt_table(suite, narrow=console.width < NARROW))


@suites.command("check")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@as_json_option
def check_command(files: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - click
    """Find every problem of suite files; a name of a suite is fine too.

    Prints one problem a line, as file:line:column path: what. Exits 2 if there is any.
    """
    from punie.settings import find_project

    project = find_project(Path.cwd())
    checked = [_checked(file, project) for file in files]
    if as_json:
        emit_json("suites check", [{k: v for k, v in c.items() if k != "lines"} for c in checked])
    else:
        for each in checked:
            for line in each["lines"]:
                click.echo(line)
            if each["ok"]:
                click.echo(f"{each['file']}: ok, {each['prompts']} prompts", err=True)
    if not all(each["ok"] for each in checked):
        count = sum(each["found"] for each in checked)
        click.echo(f"{count:,} problem{'s' if count > 1 else ''}", err=True)
        click.get_current_context().exit(EXIT_GATE)


@suites.command("schema")
@as_json_option
def schema_command(as_json: bool) -> None:  # noqa: FBT001 - click
    """Print the JSON Schema of a suite file, for editors.

    For the YAML language server, begin a suite with `# yaml-language-server: $schema=FILE`.
    """
    import json

    from punie.suites.schema import suite_schema

    if as_json:
        emit_json("suites schema", suite_schema())
    else:
        click.echo(json.dumps(suite_schema(), ensure_ascii=False, indent=2))


def _checked(file: str, project: Path) -> dict[str, Any]:
    from punie.suites.catalog import find_suite

    try:
        suite = find_suite(file, project)
    except SuiteError as error:
        problems = [
            {"line": p.line, "column": p.column, "path": p.path, "what": p.what, "file": p.file}
            for p in error.problems
        ]
        lines = [str(problem) for problem in error.problems]
        return _refused(file, problems, lines, error.found)
    except InputError as error:
        problem = {"line": 0, "column": 0, "path": "", "what": error.message, "file": file}
        lines = [error.message]
        return _refused(file, [problem], lines, 1)
    count = len(suite.prompts)
    return {"file": file, "ok": True, "prompts": count, "problems": [], "found": 0, "lines": []}


def _refused(
    file: str, problems: list[dict[str, Any]], lines: list[str], found: int
) -> dict[str, Any]:
    """What `check` says of a bad file; `found` counts the problems that are not shown too."""
    if found > len(lines):
        lines = [*lines, f"{file}: and {found - len(lines):,} more problems"]
    return {
        "file": file,
        "ok": False,
        "prompts": 0,
        "problems": problems,
        "found": found,
        "lines": lines,
    }


def _listed_data(listed: "Listed", project: Path) -> dict[str, Any]:
    suite = listed.suite
    data: dict[str, Any] = {"name": listed.name, "source": _shown(listed.source, project)}
    if suite is None:
        return {**data, "ok": False, "error": listed.error.message if listed.error else ""}
    return {
        **data,
        "ok": True,
        "suite": suite.name,
        "version": suite.version,
        "description": suite.description,
        "prompts": len(suite.prompts),
        "categories": dict(Counter(prompt.category for prompt in suite.prompts)),
        "hash": suite.hash,
    }


def _list_table(listed: "list[Listed]", project: Path, *, narrow: bool) -> "Table":
    from rich.text import Text

    table = _table("name", "prompts", "source", *([] if narrow else ["categories"]))
    table.columns[1].justify = "right"
    for each in listed:
        suite = each.suite
        cells = [safe(each.name), Text(str(len(suite.prompts)) if suite else "problems")]
        cells.append(safe(_shown(each.source, project)))
        if not narrow:
            cells.append(
                safe(", ".join(Counter(p.category for p in suite.prompts) if suite else ()))
            )
        table.add_row(*cells)
    return table


def _prompt_table(suite: EvalSuite, *, narrow: bool) -> "Table":

    table = _table("prompt", "expects", *([] if narrow else ["category", "role", "tags"]))
    for prompt in suite.prompts:
        cells = [prompt.id, _expects(prompt)]
        if not narrow:
            cells += [prompt.category, prompt.role or "–", ", ".join(prompt.tags) or "–"]
        table.add_row(*map(safe, cells))
    return table


def _expects(prompt: EvalPrompt) -> str:
    kinds = ", ".join(each.kind for each in prompt.expect) or "an answer"
    return f"{kinds} (must pass)" if prompt.must_pass else kinds


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _shown(source: str, project: Path) -> str:
    path = Path(source)
    return str(path.relative_to(project)) if path.is_relative_to(project) else source

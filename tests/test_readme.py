"""The README says what the program does."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import punie
from punie.cli.main import cli
from punie.journal.check import check_journal
from punie.settings import Settings
from punie.suites.load import suite_of

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
HELP = re.compile(r"<!-- help: punie([^\n>]*?) -->\n```\n(.*?)```", re.DOTALL)


def current_help(words: list[str]) -> str:
    """What `--help` prints at 100 columns."""
    result = CliRunner().invoke(
        cli, [*words, "--help"], prog_name="punie", terminal_width=100, color=False
    )
    assert result.exit_code == 0
    return result.stdout


def with_current_help(text: str) -> str:
    """The README with each help block as the program prints it now."""
    return HELP.sub(
        lambda found: (
            f"<!-- help: {' '.join(['punie', *found[1].split()])} -->\n"
            f"```\n{current_help(found[1].split())}```"
        ),
        text,
    )


def test_the_help_in_the_readme_is_the_help_of_the_program() -> None:
    assert len(HELP.findall(README)) >= 2
    assert with_current_help(README) == README, "run: python tests/test_readme.py"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_of_the_readme_imports_what_there_is() -> None:
    (example,) = blocks("python")
    for node in ast.walk(ast.parse(example)):
        if isinstance(node, ast.ImportFrom) and node.module == "punie":
            for alias in node.names:
                assert getattr(punie, alias.name)


def test_every_public_name_is_there() -> None:
    for name in punie.__all__:
        assert getattr(punie, name).__name__ == name
        assert name in dir(punie)
    with pytest.raises(AttributeError, match="no_such"):
        _ = punie.no_such  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


@pytest.mark.model
def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str], smollm2: Path) -> None:
    assert smollm2.is_dir()
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {"__name__": "__main__"})
    assert re.match(r"\d+%, 95 % interval \d+% to \d+%", capsys.readouterr().out)


def test_the_suite_of_the_readme_loads(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    suite = suite_of(text, "README.md", folder=tmp_path)
    assert [prompt.id for prompt in suite.prompts] == ["order-status", "refund-days"]


def test_the_settings_of_the_readme_are_settings() -> None:
    (text,) = blocks("toml")
    settings = Settings.model_validate(tomllib.loads(text))
    assert settings.journal.entries == "always"
    assert settings.endpoints["lab"].prices == (0.10, 0.40)


def test_the_project_s_own_journal_checks() -> None:
    # Not strictly: `make eval` adds an entry, and the table is only rendered on main.
    checked = check_journal(ROOT)
    assert checked.entries
    assert not checked.findings


def test_what_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


if __name__ == "__main__":
    (ROOT / "README.md").write_text(with_current_help(README), encoding="utf-8")

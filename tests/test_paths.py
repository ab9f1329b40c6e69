"""Names that punie makes into paths, and files that it will not wait for."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from malformed import fifo, folder, giant, loop, zeros
from punie.errors import InputError
from punie.journal.folder import ENTRY_ID, add_folder, find_entry, slug
from punie.reading import open_regular, read_regular
from punie.suites.load import load_suite

HOSTILE = [
    "../../etc/passwd", "/etc/passwd", "..", ".", "", "a/b", r"..\..\x", "C:\\x", "\0", "a\0b",
    "x" * 5000, "CON", "~root", "$HOME", "`id`", "%2e%2e%2f", "\n\r", "\u202egnp.exe", "é" * 300,
    "\ud800", "-rf", ".git", "--output",
]  # fmt: skip


@pytest.mark.parametrize("goal", HOSTILE, ids=range(len(HOSTILE)))
def test_a_goal_names_a_folder_inside_the_journal(goal: str, tmp_path: Path):
    made = add_folder(tmp_path, goal, datetime.now(UTC), lambda _: {"entry.md": b"x"})
    assert ENTRY_ID.fullmatch(made.name)
    assert made.resolve().is_relative_to(tmp_path / "journal")
    assert {each.name for each in tmp_path.iterdir()} == {"journal", ".punie"}


@given(goal=st.text())
def test_any_goal_makes_a_plain_name(goal: str):
    assert ENTRY_ID.fullmatch(f"20260101-0000-{slug(goal)}-abcd")


@pytest.mark.parametrize(
    "reference", [name for name in HOSTILE if name.strip(".") and len(name) < 200]
)
def test_a_reference_finds_no_entry_outside(reference: str, tmp_path: Path):
    (tmp_path / "journal").mkdir()
    with pytest.raises(InputError):
        find_entry(tmp_path, reference)


@pytest.mark.parametrize("name", ["rows", "-", "__", "..", "é", "a b", "x" * 200])
def test_a_suite_of_rows_has_a_plain_name(name: str, tmp_path: Path):
    file = tmp_path / f"{name}.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n')
    made = load_suite(file).name
    assert 1 <= len(made) <= 64
    assert made[0].isalnum()
    assert "/" not in made


@pytest.mark.parametrize("put", [fifo, zeros, loop, folder, giant])
def test_what_is_no_file_is_never_read(put: Callable[[Path], object], tmp_path: Path):
    path = tmp_path / "x"
    put(path)
    with pytest.raises(OSError, match="x") as caught:
        read_regular(path, 1000)
    assert caught.value.strerror


def test_a_file_is_read_up_to_its_limit(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"a" * 1000)
    assert read_regular(path, 1000) == b"a" * 1000
    with pytest.raises(OSError, match="more than the 999 bytes"):
        read_regular(path, 999)
    (tmp_path / "link").symlink_to(path)
    with open_regular(tmp_path / "link") as file:
        assert file.read(1) == b"a"


def test_a_name_with_a_nul_is_refused():
    with pytest.raises(OSError, match="NUL"):
        open_regular(Path("a\0b"))

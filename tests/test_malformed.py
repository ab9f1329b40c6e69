"""Malformed files through the command line: exit code, place, hint, envelope, no traceback."""

from pathlib import Path

import pytest

from malformed import Case, cases, faults_of

CASES = cases()


def test_there_are_enough_of_them():
    assert len(CASES) >= 200


@pytest.mark.parametrize("case", CASES, ids=map(str, CASES))
def test_malformed(case: Case, tmp_path: Path):
    assert faults_of(case, tmp_path) == []

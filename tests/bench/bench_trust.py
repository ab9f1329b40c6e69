"""How far punie can be trusted on a bad day, in figures.

python tests/bench/bench_trust.py [--fast]

- orphans: `punie eval` killed at random moments, and what was left running;
- kills: `punie eval` killed at every step that changes the disk and at random moments, and resumed;
- faults: every known fault of a server, in each state in which it can happen;
- malformed files and attacks: what was tried through the command line, and what passed.

`--fast` takes a tenth of the kills. The last line of stdout is one JSON object; the exit code is 1
if anything did not hold.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

HERE = Path(__file__).parent
TESTS = HERE.parent

ATTACKS = (
    "test_canary_key.py",
    "test_incoming.py",
    "test_markdown.py",
    "test_mutated_input.py",
    "test_paths.py",
    "test_registry.py",
    "test_report_html.py",
    "test_scoring_hostile.py",
    "test_scoring_time.py",
    "test_terminal.py",
)
"""The test files that hold the hostile sets: answers, templates, patterns, requests, paths, pages,
entries, terminals, state files, and a key that must show up nowhere."""


def program(name: str, *flags: str) -> dict[str, Any]:
    """Run another bench, show what it says, and give its figures."""
    done = subprocess.run(
        [sys.executable, HERE / name, *flags], stdout=subprocess.PIPE, text=True, check=False
    )
    *said, last = done.stdout.splitlines()
    sys.stdout.write("\n".join(said) + "\n")
    sys.stdout.flush()
    return {**json.loads(last), "ok": done.returncode == 0}


def tests(what: str, *files: str) -> dict[str, Any]:
    """Run test files and count their cases."""
    with tempfile.TemporaryDirectory(prefix="punie-trust-") as folder:
        results = Path(folder) / "results.xml"
        argv = [sys.executable, "-m", "pytest", "-q", f"--junitxml={results}"]
        subprocess.run(
            [*argv, *(str(TESTS / file) for file in files)],
            stdout=subprocess.DEVNULL,
            check=False,
            cwd=TESTS.parent,
        )
        (suite,) = ET.parse(results).getroot().iter("testsuite")
    # A case that failed, or was skipped, says so in an element of its own.
    cases = {
        f"{case.attrib['classname']}.{case.attrib['name']}": len(case) == 0
        for case in suite.iter("testcase")
    }
    tried, passed = len(cases), sum(cases.values())
    sys.stdout.write(f"{what}: {passed} of {tried} passed\n")
    sys.stdout.flush()
    return {"tried": tried, "passed": passed, "ok": passed == tried, "cases": cases}


def faults() -> dict[str, Any]:
    """Every known fault of a server, in each state in which it can happen, as a table."""
    found = tests("server faults in each state", "test_server_faults.py", "test_disk_faults.py")
    table: dict[str, list[str]] = {}
    for name, passed in found.pop("cases").items():
        fault, _, state = name.partition("[")[2].removesuffix("]").rpartition("-")
        if fault:
            table.setdefault(fault, []).append(state if passed else f"{state}: FAILED")
    for fault, states in table.items():
        sys.stdout.write(f"  {fault:40}{', '.join(states)}\n")
    return found


def attacks() -> dict[str, Any]:
    """The hostile sets."""
    found = tests("tests of hostile input", *ATTACKS)
    found.pop("cases")
    return found


def malformed() -> dict[str, Any]:
    """Try every malformed file."""
    sys.path.insert(0, str(TESTS))
    from malformed import tried_and_passed

    tried, passed = tried_and_passed()
    sys.stdout.write(f"malformed files: {passed} of {tried} told clearly, with their place\n")
    sys.stdout.flush()
    return {"tried": tried, "passed": passed, "ok": tried == passed}


def main() -> int:
    """Run all and sum up."""
    parser = argparse.ArgumentParser(description="Measure how far punie can be trusted.")
    parser.add_argument("--fast", action="store_true", help="a tenth of the kills")
    fast = parser.parse_args().fast
    figures = {
        "orphans": program("bench_orphans.py", "--kills", "10" if fast else "100"),
        "kills": program("bench_kills.py", "--random", "50" if fast else "500"),
        "faults": faults(),
        "malformed": malformed(),
        "attacks": attacks(),
    }
    held = all(each["ok"] for each in figures.values())
    sys.stdout.write(json.dumps({"bench": "trust", **figures, "targets_met": held}) + "\n")
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())

"""`punie journal` with trainings and benchmarks."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from punie.adapters.manifest import write_manifest
from punie.cli.main import main
from punie.errors import EXIT_GATE, EXIT_OK, EXIT_USAGE
from punie.store.benchmarks import BenchmarkStore
from synthetic_training import a_benchmark, a_finished_manifest

Punie = Callable[..., str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with an adapter and a benchmark."""
    manifest = a_finished_manifest()
    folder = tmp_path / "adapters" / manifest.name
    folder.mkdir(parents=True)
    write_manifest(folder, manifest)
    (tmp_path / "punie.toml").write_text("")
    with BenchmarkStore(tmp_path) as store:
        store.add(a_benchmark())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def punie(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Punie:
    """Run a command in the project, expect its exit code, and give what it said."""
    assert project.is_dir()

    def run(*words: str, code: int = EXIT_OK) -> str:
        monkeypatch.setattr("sys.argv", ["punie", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert (ended.value.code or EXIT_OK) == code, said.err
        return said.out if code == EXIT_OK else said.out + said.err

    return run


def test_a_training_is_journaled_by_its_adapters_name(project: Path, punie: Punie) -> None:
    entry = Path(punie("journal", "new", "Learn the weather", "--adapter", "tiny-weather").strip())
    assert entry.is_relative_to(project / "journal")
    assert (entry.parent / "training.json").is_file()
    punie("journal", "render")
    assert "## Trainings" in (project / "journal" / "README.md").read_text()
    punie("journal", "check", "--strict")
    entry.write_text(entry.read_text().replace("0.342", "0.142"))
    assert "training.json gives" in punie("journal", "check", code=EXIT_GATE)


def test_a_benchmark_is_journaled(punie: Punie) -> None:
    data = json.loads(punie("journal", "new", "Fast?", "--benchmark", "last", "--json"))["data"]
    assert data["benchmark"] == "last"
    assert (Path(data["entry"]) / "benchmark.json").is_file()
    punie("journal", "check")


def test_a_benchmark_is_compared_with_the_database(project: Path, punie: Punie) -> None:
    punie("journal", "new", "Fast?", "--benchmark", "last")
    slower = a_benchmark(serving=None)
    with BenchmarkStore(project) as store:
        store.update(slower)
    said = punie("journal", "check", code=EXIT_GATE)
    assert "serving.start_seconds is 1.4, the database has None" in said


def test_what_does_not_go_together_is_refused(punie: Punie) -> None:
    said = punie("journal", "new", "x", "--adapter", "a", "--run", "last", code=EXIT_USAGE)
    assert "--run and --adapter do not go together" in said
    said = punie("journal", "new", "x", "--adapter", "nobody", code=EXIT_USAGE)
    assert "nobody has no punie.json" in said

"""Settings: who wins, where a value came from, and what is refused."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from punie.cli.main import cli
from punie.errors import InputError
from punie.settings import find_project, load_settings, setting_names


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own settings folder, empty."""
    home = tmp_path / "home"
    folder = home / "config"
    (folder / "punie").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    return folder / "punie"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    return folder


def test_without_anything_all_is_default(project: Path) -> None:
    loaded = load_settings(project, {})
    assert not loaded.configured
    assert loaded.values.journal.entries == "asked"
    assert loaded.origins == {}


def test_each_source_beats_the_one_before(project: Path, user_folder: Path) -> None:
    def model() -> tuple[str | None, str]:
        loaded = load_settings(project, env)
        return loaded.values.model, loaded.origins["model"]

    env: dict[str, str] = {}
    (user_folder / "config.toml").write_text('model = "user"\nconcurrency = 3\n')
    assert model() == ("user", str(user_folder / "config.toml"))
    (project / "pyproject.toml").write_text('[tool.punie]\nmodel = "pyproject"\n')
    assert model() == ("pyproject", "pyproject.toml")
    (project / "punie.toml").write_text('model = "punie"\n')
    assert model() == ("punie", "punie.toml")
    env["PUNIE_MODEL"] = "env"
    assert model() == ("env", "env PUNIE_MODEL")
    assert load_settings(project, env).values.concurrency == 3


@pytest.mark.parametrize("named", ["env/bin/python", "../env/bin/python", "/proc/self/cwd/run"])
def test_no_project_names_a_program(project: Path, user_folder: Path, named: str) -> None:
    (project / "punie.toml").write_text(f'vllm = "{named}"\n')
    with pytest.raises(InputError, match=r"punie\.toml: vllm.*may not name a program") as refused:
        load_settings(project, {})
    assert "PUNIE_VLLM" in str(refused.value.hint)
    (project / "punie.toml").unlink()
    (user_folder / "config.toml").write_text(f'vllm = "{project}/env/bin/python"\n')
    assert load_settings(project, {}).values.vllm == f"{project}/env/bin/python"
    env = {"PUNIE_VLLM": str(project / "env")}
    assert load_settings(project, env).values.vllm == str(project / "env")


def test_the_environment_steps_into_tables(project: Path) -> None:
    env = {
        "PUNIE_SAMPLING__TEMPERATURE": "0.5",
        "PUNIE_JOURNAL__TEXT": "true",
        "PUNIE_ENDPOINTS__LAB__URL": "http://lab/v1",
        "PUNIE_CACHE": "/somewhere",
    }
    values = load_settings(project, env).values
    assert values.sampling.temperature == 0.5
    assert values.journal.text is True
    assert values.endpoints["lab"].url == "http://lab/v1"


def test_a_table_is_merged_value_by_value(project: Path, user_folder: Path) -> None:
    (user_folder / "config.toml").write_text('[endpoints.lab]\nurl = "http://a"\nmodel = "x"\n')
    (project / "punie.toml").write_text('journal = "always"\n[endpoints.lab]\nurl = "http://b"\n')
    loaded = load_settings(project, {"PUNIE_JOURNAL__TEXT": "1"})
    assert loaded.values.endpoints["lab"].url == "http://b"
    assert loaded.values.endpoints["lab"].model == "x"
    assert loaded.values.journal.entries == "always"
    assert loaded.values.journal.text is True


@pytest.mark.parametrize(
    ("toml", "place", "said"),
    [
        ('modle = "x"', ":1:1 modle", "did you mean model?"),
        ("\n[sampling]\n  temprature = 1", ":3:3 sampling.temprature", "did you mean temperature"),
        ("[journal]\ntexts = true", ":2:1 journal.texts", "did you mean text?"),
        ('[endpoints.lab]\nurl="http://x"\nkey="s"', ":3:1 endpoints.lab.key", "key_env"),
        ("[sampling]\ntemperature = 9", ":2:1 sampling.temperature", "less than or equal to 2"),
        ('backend = "tpu"', ":1:1 backend", "'auto', 'mlx', 'cuda' or 'endpoint'"),
        ('concurrency = "many"', ":1:1 concurrency", "integer"),
        ("[endpoints.lab]\nmodel = 'm'", "endpoints.lab.url", "required"),
        ("model = ", ", at its end", "nvalid value"),
        ("model = = 3", ":1:9", "nvalid value"),
        ("\ufeffmodel = 3", ":1:1 model", "string"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    project: Path, toml: str, place: str, said: str
) -> None:
    (project / "punie.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_settings(project, {})
    assert place in caught.value.message
    assert said in caught.value.message
    assert "punie.toml" in caught.value.message


def test_all_that_is_wrong_is_said_at_once(project: Path) -> None:
    (project / "punie.toml").write_text("modle = 1\nsiute = 2\nconcurrency = 0\n")
    with pytest.raises(InputError) as caught:
        load_settings(project, {})
    assert len(caught.value.message.splitlines()) == 3


def test_an_unknown_variable_is_refused(project: Path) -> None:
    with pytest.raises(InputError, match=r"PUNIE_MODLE.*did you mean model"):
        load_settings(project, {"PUNIE_MODLE": "x"})


@pytest.mark.parametrize("mark", ["punie.toml", ".punie", ".git", "pyproject.toml"])
def test_the_project_is_the_nearest_marked_ancestor(tmp_path: Path, mark: str) -> None:
    root = tmp_path / "root"
    inside = root / "a" / "b"
    inside.mkdir(parents=True)
    if mark == "pyproject.toml":
        (root / mark).write_text("[tool.punie]\n")
    elif mark == "punie.toml":
        (root / mark).write_text("")
    else:
        (root / mark).mkdir()
    (inside / "pyproject.toml").write_text("[tool.other]\n")
    assert find_project(inside) == root


def test_config_shows_every_setting_and_its_origin(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "punie.toml").write_text('model = "mine"\n[endpoints.lab]\nurl = "http://lab/v1"\n')
    monkeypatch.chdir(project)
    shown = CliRunner().invoke(cli, ["config", "--json"], env={"PUNIE_SUITE": "baseline"})
    settings = json.loads(shown.stdout)["data"]["settings"]
    assert settings["model"] == {"value": "mine", "origin": "punie.toml"}
    assert settings["suite"] == {"value": "baseline", "origin": "env PUNIE_SUITE"}
    assert settings["endpoints.lab.url"]["value"] == "http://lab/v1"
    for name, description, _ in setting_names():
        assert description, name
        assert name.replace("NAME", "lab") in settings


def test_config_prints_a_punie_toml(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "punie.toml").write_text(
        'model = "mine"\nsampling.top_k = 5\n[endpoints.lab]\nurl = "http://lab/v1"\n'
    )
    monkeypatch.chdir(project)
    text = CliRunner().invoke(cli, ["config"]).stdout
    parsed = tomllib.loads(text)
    assert parsed["model"] == "mine"
    assert parsed["sampling"]["top_k"] == 5
    assert parsed["endpoints"]["lab"]["url"] == "http://lab/v1"
    (project / "punie.toml").write_text(text)
    assert CliRunner().invoke(cli, ["config"]).stdout == text


def test_paths_in_a_file_are_relative_to_the_file(project: Path, user_folder: Path) -> None:
    (project / "models" / "mine").mkdir(parents=True)
    deep = project / "notes" / "today"
    deep.mkdir(parents=True)
    written = 'suite = "suites/mine.yaml"\nadapter = "adapters/lora"\nmodel = "models/mine"\n'
    (project / "punie.toml").write_text(written)
    at_home = load_settings(project, {}).values
    assert (at_home.suite, at_home.adapter) == ("suites/mine.yaml", "adapters/lora")
    below = load_settings(deep, {}).values
    assert below.suite == "../../suites/mine.yaml"
    assert below.adapter == "../../adapters/lora"
    assert below.model == "../../models/mine"
    from_env = load_settings(deep, {"PUNIE_ADAPTER": "lora", "PUNIE_SUITE": "./x.yaml"}).values
    assert (from_env.adapter, from_env.suite) == ("lora", "./x.yaml")
    (project / "punie.toml").unlink()
    (user_folder / "config.toml").write_text('model = "./big.gguf"\n')
    found = load_settings(deep, {}).values.model
    assert found is not None
    assert (deep / found).resolve() == user_folder.resolve() / "big.gguf"


@pytest.mark.parametrize("name", ["org/model", "smollm2-135m", "~/models/mine", "/models/mine"])
def test_a_name_is_no_path(project: Path, name: str) -> None:
    (project / "deep").mkdir()
    (project / "punie.toml").write_text(f'model = "{name}"\nsuite = "tools"\n')
    values = load_settings(project / "deep", {}).values
    assert (values.model, values.suite) == (name, "tools")

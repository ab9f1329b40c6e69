"""Which backend trains."""

import importlib.util

import pytest

from punie.backends.choose import training_backend
from punie.errors import InputError, ModelError, PunieError


@pytest.mark.parametrize("name", [None, "auto", "mlx"])
def test_mlx_trains_where_it_is_installed(name: str | None) -> None:
    assert training_backend(name).name == "mlx"


@pytest.mark.parametrize(
    ("name", "kind", "said", "hint"),
    [
        ("endpoint", InputError, "trains nothing", 'backend = "mlx"'),
        ("mxl", InputError, "no backend is called mxl", "auto, mlx"),
    ],
)
def test_what_cannot_train_says_so(name: str, kind: type[PunieError], said: str, hint: str) -> None:
    with pytest.raises(kind, match=said) as refused:
        training_backend(name)
    assert hint in refused.value.hint


@pytest.mark.parametrize("name", [None, "mlx"])
def test_a_backend_that_is_not_installed_says_how_to_get_it(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    with pytest.raises(ModelError, match="needs mlx-lm") as refused:
        training_backend(name)
    assert "pip install" in refused.value.hint

"""Plan files: YAML in punie's own form or in mlx_lm's, and what flags change of them."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from punie.errors import InputError, Problem
from punie.records.base import SCHEMA_VERSION
from punie.records.training import Schedule, TrainPlan
from punie.scoring.json_text import is_array, is_object
from punie.sources.faults import FormError, nearest
from punie.sources.yaml_source import DataPath, NotReadableError, YamlSource, path_text, read_text
from punie.suites.form_errors import form_errors
from punie.training.effect import effect_errors
from punie.training.mlx_lm_plan import MLX_LM_WORDS, is_mlx_lm, translate
from punie.training.plan_form import Form

BESIDE = ("model", "data", "name")
"""Keys of a file that are no part of a plan."""
_KEYS = [*TrainPlan.model_fields, "scale", *BESIDE]
HINT = f"mend the plan; its keys: {', '.join(key for key in _KEYS if key != 'schema_version')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """What a file says: the plan, and what it names beside it, as it is written there."""

    plan: TrainPlan
    model: str | None = None
    data: str | None = None
    name: str | None = None
    """Of the adapter."""
    notes: tuple[str, ...] = ()
    """What punie does not do, or does in its own way, a sentence each."""


def read_plan(path: Path) -> PlanFile:
    """Read a plan file. Raises InputError with the place of everything that is wrong with it."""
    file = str(path)
    try:
        source = YamlSource(file, read_text(path, file))
    except NotReadableError as error:
        raise InputError(str(error.problem), hint=HINT) from None
    if not is_object(source.data):
        raise _refusal([*source.problems, source.problem((), "should be a mapping of keys")])
    form = _form(source.data)
    plan, wrong = validated(form.values)
    errors = [*form.errors]
    errors += [FormError(form.origin(e.path), e.what, key=e.key) for e in wrong]
    if errors or source.problems or plan is None:
        problems = [source.problem(each.path, each.what, key=each.key) for each in errors]
        raise _refusal([*source.problems, *problems])
    return PlanFile(plan=plan, **form.beside, notes=tuple(form.notes))


def with_overrides(plan: TrainPlan, **flags: object) -> TrainPlan:
    """The plan with what flags say in place of what it says; None is a flag that was not given.

    Names are those of TrainPlan and of Schedule, and `scale`. Epochs replace iterations and the
    other way round. A new rank keeps `alpha`, as it does in a file. Raises InputError.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    values = plan.model_dump(mode="json", exclude_unset=True)
    for one, other in (("epochs", "iterations"), ("iterations", "epochs"), ("scale", "alpha")):
        if one in given and other not in given:
            values.pop(other, None)
    curve = {name: given.pop(name) for name in Schedule.model_fields if name in given}
    if curve:
        values["schedule"] = {**values.get("schedule", {}), **curve}
    form = _own_form({**values, **given})
    changed, wrong = validated(form.values)
    wrong = [*form.errors, *wrong]
    if wrong or changed is None:
        lines = [f"{path_text(each.path)}: {each.what}" for each in wrong]
        raise InputError("\n".join(lines), hint="change the flag, or what the plan file says")
    return changed


def validated(values: Mapping[str, Any]) -> tuple[TrainPlan | None, list[FormError]]:
    """The plan of these values, or None, and everything that is wrong with them."""
    errors = list(_not_finite(values, ()))
    if errors:
        return None, errors
    outside = {key: value for key, value in values.items() if key != "schedule"}
    plan = _strict(TrainPlan, outside, (), errors)
    schedule = _strict(Schedule, values.get("schedule", {}), ("schedule",), errors)
    if plan is None or schedule is None:
        return None, errors
    if plan.schema_version != SCHEMA_VERSION:
        what = f"this punie knows plans of version {SCHEMA_VERSION}"
        errors.append(FormError(("schema_version",), what))
    if "schedule" in values:
        plan = plan.model_copy(update={"schedule": schedule})
    errors += effect_errors(plan, settled=False)
    return plan, errors


def _form(data: dict[str, Any]) -> Form:
    if not is_mlx_lm(data, _KEYS):
        return _own_form(data)
    return translate(data, _KEYS)


def _own_form(data: Mapping[str, Any]) -> Form:
    """Punie's own: the fields of TrainPlan, `scale` in place of `alpha`, and `BESIDE`."""
    values = dict(data)
    form = Form(values)
    for key in [key for key in values if key not in _KEYS]:
        del values[key]
        theirs = MLX_LM_WORDS.get(key)
        what = f"is mlx_lm's word for {theirs}" if theirs else f"unknown key{nearest(key, _KEYS)}"
        form.errors.append(FormError((key,), what, key=True))
    for key in BESIDE:
        text = values.pop(key, None)
        if isinstance(text, str) and text:
            form.beside[key] = text
        elif text is not None:
            form.errors.append(FormError((key,), "should be a text"))
    if "scale" in values:
        _scale_to_alpha(values, form)
    return form


def _scale_to_alpha(values: dict[str, Any], form: Form) -> None:
    scale, rank = values.pop("scale"), values.get("rank", TrainPlan.model_fields["rank"].default)
    if "alpha" in values:
        what = "stands beside alpha: give one of the two (scale = alpha / rank)"
        form.errors.append(FormError(("scale",), what, key=True))
    else:
        form.take_scale(("scale",), scale, rank)


def _strict(
    kind: type[BaseModel], values: Any, inside: DataPath, errors: list[FormError]
) -> Any:  # of that kind, or None
    """Validate as JSON is validated: a list may be a tuple and a text a choice, no more."""
    try:
        return kind.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        found = {(*inside, *each.path): each for each in form_errors(error, kind, values)}
    for path, each in found.items():
        what = (
            "should be a number of blocks, at least 1, or all" if path == ("layers",) else each.what
        )
        errors.append(FormError(path, what, key=each.key))
    return None


def _not_finite(value: Any, path: DataPath) -> Iterator[FormError]:
    """Infinity and NaN, which a command line can say and JSON cannot."""
    if isinstance(value, float) and not math.isfinite(value):
        yield FormError(path, "should be a finite number")
    elif is_object(value):
        for key, inner in value.items():
            yield from _not_finite(inner, (*path, key))
    elif is_array(value):
        for index, inner in enumerate(value):
            yield from _not_finite(inner, (*path, index))


def _refusal(problems: Iterable[Problem]) -> InputError:
    ordered = sorted(problems, key=lambda each: (each.line, each.column))
    return InputError("\n".join(str(problem) for problem in ordered), hint=HINT)

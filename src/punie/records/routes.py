"""Which of two measured models serves which role: `routes.yaml`."""

from typing import Literal

from punie.records.base import SCHEMA_VERSION, Record

Serves = Literal["current", "base"]


class RoutedModel(Record):
    """One of the two, as its run names it."""

    model: str
    adapter: str | None = None
    run: str


class Routes(Record):
    """Who serves each role, and who serves all others."""

    schema_version: int = SCHEMA_VERSION
    base: RoutedModel
    current: RoutedModel
    default: Serves = "base"
    routes: dict[str, Serves]

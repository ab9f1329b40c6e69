"""`routes.yaml` of a comparison: who serves which role."""

from pathlib import Path

from punie.cli.comparing import Match
from punie.cli.written import write_whole
from punie.errors import InputError
from punie.gates.routes import routes_yaml


def write_routes(match: Match, path: Path) -> None:
    """Write the routes of a match's decision. Raises InputError where no prompt has a role."""
    decision = match.compared.decision
    assert decision is not None  # every match is decided
    text = routes_yaml(decision, match.base.run, match.current.run)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, [text])
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", hint="--routes FILE") from error

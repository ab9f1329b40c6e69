"""`punie`: the group of commands, each loaded only when it is called."""

import importlib
import os
import signal
import sys
from typing import ClassVar

import click

from punie.cli.output import emit_error
from punie.cli.streams import open_streams
from punie.errors import EXIT_INTERRUPTED, EXIT_RUNTIME, PunieError, StoreError

EPILOG = """\b
Exit codes:
  0    ok
  1    runtime error, or a run that finished with faults
  2    usage, or a bad input file
  3    a gate or must-pass prompt failed, or a check found errors
  4    inconclusive under a gate
  5    nothing could be measured (server, model, key)
  130  interrupted
"""


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line helps without importing them."""

    commands_at: ClassVar[dict[str, tuple[str, str]]] = {
        "eval": ("punie.cli.eval:eval_command", "Measure a model on a suite."),
        "train": ("punie.cli.train:train_command", "Train an adapter."),
        "benchmark": (
            "punie.cli.benchmark:benchmark_command",
            "Measure how fast a model trains and is served here.",
        ),
        "adapters": (
            "punie.cli.adapters:adapters",
            "List, fuse, export and compare adapters.",
        ),
        "compare": (
            "punie.cli.compare:compare_command",
            "Compare runs, and hold them against a gate.",
        ),
        "serve": ("punie.cli.serve:serve_command", "Serve a model to editors and programs."),
        "label": ("punie.cli.label:label_command", "Mark a run's answers yourself, blind."),
        "judge": ("punie.cli.judge:judge", "Have answers marked by a model."),
        "consistency": (
            "punie.cli.consistency:consistency_command",
            "Tell capability from inconsistency.",
        ),
        "report": ("punie.cli.report:report_command", "Write the HTML report of a run or of two."),
        "runs": ("punie.cli.runs:runs", "List, show, export and delete runs."),
        "journal": ("punie.cli.journal:journal", "Write, render and check the journal."),
        "suites": ("punie.cli.suites:suites", "List, show and check suites."),
        "data": ("punie.cli.data:data", "List, show, split and pin training data."),
        "models": ("punie.cli.models:models", "List, pull and show models."),
        "doctor": (
            "punie.cli.doctor:doctor_command",
            "Look at everything that an eval needs.",
        ),
        "config": (
            "punie.cli.config:config_command",
            "Show every setting and where it comes from.",
        ),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of use, not of the alphabet."""
        return list(self.commands_at)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import the module of this one command."""
        place = self.commands_at.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place[0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of that name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], self.commands_at, n=1)
            if not near:
                raise
            message = f"{error.message} Did you mean {near[0]}?"
            raise click.UsageError(message, ctx) from error

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.commands_at.items()])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="punie", prog_name="punie")
def cli() -> None:
    """Measure a small open model, train an adapter, and get an honest verdict."""


def main() -> None:
    """Run the command line: every error becomes a message and an exit code, never a traceback."""
    # pydantic would look through every installed package for plugins, 20 ms at each start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    open_streams()
    argv = sys.argv[1:]
    as_json = "--json" in argv
    command = next((word for word in argv if not word.startswith("-")), "")
    try:
        status = cli.main(argv, prog_name="punie", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        if as_json:
            emit_error(command, UsageError(error.format_message()), as_json=True)
        else:
            error.show()
        sys.exit(error.exit_code)
    except PunieError as error:
        emit_error(command, error, as_json=as_json)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is ending already
        click.echo("interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our stdout (head, less) went away; there is nobody left to tell.
        sys.stderr.close()
        sys.exit(EXIT_RUNTIME)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        emit_error(command, StoreError(f"{place}{error.strerror or error}"), as_json=as_json)
        sys.exit(EXIT_RUNTIME)
    except Exception as error:
        if os.environ.get("PUNIE_DEBUG"):
            raise
        emit_error(command, unexpected(error), as_json=as_json)
        sys.exit(EXIT_RUNTIME)
    sys.exit(status if isinstance(status, int) else 0)


def unexpected(error: Exception) -> PunieError:
    """A mistake of punie's own, as a message: what was measured so far is kept all the same."""
    what = f"{type(error).__name__}: {error}"
    return PunieError(
        f"punie made a mistake of its own: {what}",
        hint="set PUNIE_DEBUG=1 to see where; finished prompts are kept (punie runs list)",
    )


class UsageError(PunieError):
    """A command line that click refused, in our envelope."""

    code = "usage"
    exit_code = 2


if __name__ == "__main__":
    main()

"""The program `punie`: nothing is imported before Ctrl-C is in good hands."""

import sys

INTERRUPTED = 130


def run() -> None:
    """Import the command line and run it."""
    try:
        from punie.cli.main import main  # noqa: PLC0415 - inside the `try`

        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    run()

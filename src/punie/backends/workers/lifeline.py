"""How a worker that does one thing speaks to its parent, and ends when the parent is gone."""

import json
import os
import sys
import threading
from typing import Any


def say(message: dict[str, Any]) -> None:
    """Write one JSON line on stdout."""
    print(json.dumps(message), flush=True)


def end_with_parent() -> None:
    """End this process once stdin, a pipe that the parent holds, is closed."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)

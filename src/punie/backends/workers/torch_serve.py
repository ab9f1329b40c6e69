"""The real `transformers serve`, started so that it can be trusted.

    python -m punie.backends.workers.torch_serve --model FOLDER [--adapter A --load OVERLAY] …

It runs `transformers.cli.serve.Serve` with its own loading, handlers and generation, after what can
only be done from inside:
- The socket is bound first and its port reported on the events descriptor, so that `--port 0` works
  and punie knows that it talks to this very process. A port that is taken ends the process.
- What was loaded is reported: model, adapter, and how many layers the adapter really changed.
- Weights are packed with the type named in which they compute (`torch_serve_model`).
- Answers are generated in two lanes (`torch_serve_lanes`): greedy ones in one batch, and all whose
  sampling, seed or stop strings a batch would lose one after the other.
- Requests mean what they say (`torch_serve_chat`): the model's own sampling settings are not put in
  silently, temperature 0.7 does sample, and what is not supported is refused instead of ignored.
- The process ends when generation cannot go on: a batch that failed, a GPU that failed or is full.
- `base_model` asks the model without its adapter.
- Nothing is there that a page or a program could do harm with: no loading, no reset, no CORS.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false
# transformers and uvicorn are only partly typed.

import argparse
import json
import os
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from punie.backends.gpu import WITHOUT_GPU
from punie.backends.workers.train_failure import Failure

EVENTS_FD = "PUNIE_EVENTS_FD"
BACKLOG = 128
CANNOT_LISTEN = 71
"""The exit code of a server whose port is taken: EX_OSERR of sysexits.h."""
PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/models", "/health")
"""What is left of the server's addresses."""


def report(**event: Any) -> None:
    """Write one event for punie, as one line."""
    descriptor = os.environ.get(EVENTS_FD)
    if descriptor:
        os.write(int(descriptor), (json.dumps(event) + "\n").encode())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="torch_serve")
    parser.add_argument("--model", required=True, help="what punie calls the model: its folder")
    parser.add_argument("--adapter", help="what punie calls the adapter: its folder")
    parser.add_argument("--load", type=Path, help="the folder to load, where it is not --model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--quantization", choices=["none", "4bit", "8bit"], default="none")
    parser.add_argument("--computed-in", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=32, help="answers written side by side")
    parser.add_argument("--batch-tokens", type=int, default=32_768, help="of all of them together")
    parser.add_argument(
        "--tool-parser", help="mlx_lm's name of the form in which calls are written"
    )
    return parser.parse_args()


def listen(host: str, port: int) -> socket.socket:
    """A socket that holds the port; ends the process where another one does."""
    try:
        bound = socket.create_server((host, port), backlog=BACKLOG)
    except OSError:
        traceback.print_exc()
        os._exit(CANNOT_LISTEN)
    report(event="listening", port=bound.getsockname()[1])
    return bound


def load_and_report(asked: argparse.Namespace) -> tuple[Any, Any]:
    """The model and its tokenizer, or the end of the process with the reason in log and report."""
    try:
        from punie.backends.workers import torch_serve_model as serving  # noqa: PLC0415 - 4 s

        folder = asked.load or Path(asked.model)
        model, tokenizer = serving.load(
            serving.Served(folder, asked.quantization, asked.computed_in, asked.device)
        )
        adapted = len(serving.adapted_layers(model))
    except Failure as failure:  # the machine's, and told in full: a traceback would only hide it
        report(event="loaded", error=str(failure), hint=WITHOUT_GPU)
        os._exit(1)
    except BaseException as error:  # noqa: BLE001 - whatever it was, punie should know
        traceback.print_exc()  # before punie hears of it and reads the log
        report(event="loaded", error=f"{type(error).__name__}: {error}"[:2000])
        sys.stderr.flush()
        os._exit(1)
    report(event="loaded", model=asked.model, adapter=asked.adapter, adapted_layers=adapted)
    return model, tokenizer


def serve(bound: socket.socket, model: Any, tokenizer: Any, asked: argparse.Namespace) -> None:
    """Run `transformers serve` on the socket with the model until the process is told to end."""
    import uvicorn  # noqa: PLC0415 - as below
    from transformers.cli import serve as transformers_serve  # noqa: PLC0415 - 4 s
    from transformers.cli.serving import model_manager  # noqa: PLC0415 - as above

    from punie.backends.workers import torch_serve_chat as chat  # noqa: PLC0415 - as above
    from punie.backends.workers import torch_serve_parts as parts  # noqa: PLC0415 - as above

    parts.serve_only(model_manager.ModelManager, model, tokenizer)
    parts.answer_in_lanes(asked, model)
    parts.read_calls(asked.tool_parser)
    parts.leave_only(PATHS)
    run = uvicorn.Server.run

    def run_on_the_socket(self: uvicorn.Server, sockets: Any = None) -> None:
        run(self, sockets=sockets or [bound])

    def end_at_once(self: Any, sig: int, frame: Any) -> None:  # noqa: ARG001 - as uvicorn calls it
        os._exit(0)  # there is nothing to keep

    uvicorn.Server.run = run_on_the_socket
    uvicorn.Server.handle_exit = end_at_once
    transformers_serve.Serve(force_model=chat.MODEL, continuous_batching=True, host=asked.host)


def main() -> None:
    """Bind, load, serve."""
    asked = arguments()
    bound = listen(asked.host, asked.port)
    serve(bound, *load_and_report(asked), asked)


if __name__ == "__main__":
    main()

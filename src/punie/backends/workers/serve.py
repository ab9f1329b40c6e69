"""The real `mlx_lm.server`, started so that it can be trusted.

    python -m punie.backends.workers.serve [mlx_lm.server's own flags]

It runs `mlx_lm.server.main()` unchanged, after nine things that can only be done from inside:
- torch is left out, which transformers would import for nothing where it is installed.
- OpenBLAS is loaded before mlx where the environment names it (`PUNIE_BLAS`): mlx's own build for
  Linux carries a reference BLAS, about thirty times slower.
- The port that the socket got is reported on the events descriptor, so that `--port 0` works and
  punie knows that it talks to this very process.
- What was loaded is reported: model, adapter, and how many layers the adapter really changed. The
  server itself is silent about that, and answers with the bare base if an adapter does not bind.
- The process ends when its generation thread fails, or its port is taken; mlx_lm's would stay and
  never answer.
- A request for the base of the adapted model that is served takes the adapter's layers off, and the
  next one for the adapter puts them on again. mlx_lm would read all weights anew, twice; the layers
  are everything that it lets an adapter of LoRA or DoRA change.
- Waiting requests are let into the batch every 20 ms instead of every half second.
- What goes into the prompt cache is computed first; else each entry would hold on to the whole
  batch that it was a part of, and a server at concurrency 16 would take twice the memory.
- A tool call that the server's parser accepts but its formatter does not expect (JSON without
  `arguments`, a bare string) is dropped with a log line, as any other malformed call is, instead of
  breaking the connection: it is the model's mistake, not the machine's. Its text is recovered from
  the token ids.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false
# mlx_lm carries no types.

import json
import logging
import os
import traceback
from http.server import ThreadingHTTPServer
from typing import Any

from punie.backends.workers.before_mlx import before_mlx

EVENTS_FD = "PUNIE_EVENTS_FD"
BACKLOG = 128
"""Connections that may wait to be accepted. The standard library's 5 makes a burst of clients wait
a second for the network stack's retry."""

ADMIT_S = 0.02
GENERATION_FAILED = 70
"""The exit code of a server whose generation thread failed: EX_SOFTWARE of sysexits.h."""
CANNOT_LISTEN = 71
"""The exit code of a server whose port is taken: EX_OSERR of sysexits.h."""


def report(**event: Any) -> None:
    """Write one event for punie, as one line."""
    descriptor = os.environ.get(EVENTS_FD)
    if descriptor:
        os.write(int(descriptor), (json.dumps(event) + "\n").encode())


def report_the_port() -> None:
    """Have the HTTP server say which port it got, before it answers anything."""
    activate = ThreadingHTTPServer.server_activate

    def activate_and_report(self: ThreadingHTTPServer) -> None:
        activate(self)
        report(event="listening", port=self.server_address[1])

    bind = ThreadingHTTPServer.server_bind

    def bind_or_end(self: ThreadingHTTPServer) -> None:
        try:
            bind(self)
        except OSError:
            # mlx_lm's loading thread would keep the process, and whoever holds the port answers.
            traceback.print_exc()
            os._exit(CANNOT_LISTEN)

    ThreadingHTTPServer.request_queue_size = BACKLOG
    ThreadingHTTPServer.server_bind = bind_or_end
    ThreadingHTTPServer.server_activate = activate_and_report


def report_what_loads(provider: Any) -> None:
    """Have the model provider say what it loaded, or why it could not."""
    load = provider._load  # noqa: SLF001 - there is no public seam

    def load_and_report(self: Any, model_path: Any, adapter_path: Any = None, *rest: Any) -> None:
        try:
            load(self, model_path, adapter_path, *rest)
        except BaseException as error:
            traceback.print_exc()  # before punie hears of it and reads the log
            report(event="loaded", error=f"{type(error).__name__}: {error}"[:2000])
            raise
        adapted = len(adapted_layers(self.model))
        report(event="loaded", model=model_path, adapter=adapter_path, adapted_layers=adapted)

    provider._load = load_and_report  # noqa: SLF001 - see above


def adapted_layers(model: Any) -> dict[str, Any]:
    """The layers of LoRA or DoRA by name; each holds the base's layer that it stands for."""
    return {name: layer for name, layer in model.named_modules() if hasattr(layer, "lora_a")}


def take_the_adapter_off_and_on(provider: Any) -> None:
    """Have the provider go from the adapted model to its base and back without reading weights."""
    load = provider._load  # noqa: SLF001 - there is no public seam

    def load_or_swap(
        self: Any, model_path: Any, adapter_path: Any = None, draft: Any = None
    ) -> None:
        held, wanted = self.model_key, (model_path, adapter_path, draft)
        off, self.taken_off = getattr(self, "taken_off", None), None
        if off is not None and off[0] == wanted:
            put(self.model, off[1])
        elif held and wanted == (held[0], None, held[2]) and (layers := adapted_layers(self.model)):
            put(self.model, {name: base_layer(layer) for name, layer in layers.items()})
            self.taken_off = (held, layers)
        else:
            load(self, *wanted)
        self.model_key = wanted

    provider._load = load_or_swap  # noqa: SLF001 - see above


def base_layer(layer: Any) -> Any:
    """What the layer of an adapter stands for."""
    return layer.linear if hasattr(layer, "linear") else layer.embedding


def put(model: Any, layers: dict[str, Any]) -> None:
    """Put layers in their places, by name."""
    from mlx.utils import tree_unflatten  # noqa: PLC0415 - only after BLAS

    model.update_modules(tree_unflatten(list(layers.items())))


def admit_often(time_budget: Any) -> None:
    """Look for waiting requests every 20 ms of generating and not every half second.

    Until then the place of a finished answer in the batch stays empty, and a new request waits for
    its first token: 5 % of the time of a run of short answers, and more on a fast machine.
    """
    start = time_budget.__init__

    def start_short(self: Any, budget: float = ADMIT_S, *rest: Any) -> None:
        start(self, budget, *rest)

    time_budget.__init__ = start_short


def end_with_the_generation(generator: Any) -> None:
    """End the process when its generation thread fails, with the reason in the log.

    mlx_lm would go on listening and never answer again; a dead process is seen at once.
    """
    generate = generator._generate  # noqa: SLF001 - there is no public seam

    def generate_or_end(self: Any) -> None:
        try:
            generate(self)
        except BaseException:  # noqa: BLE001 - whatever it was, nobody generates any more
            traceback.print_exc()
            os._exit(GENERATION_FAILED)

    generator._generate = generate_or_end  # noqa: SLF001 - see above


def cache_no_whole_batches(prompt_cache: Any) -> None:
    """Compute the keys and values of a finished prompt before they are kept for later prompts.

    mlx_lm keeps them as a part, still to be copied, of the batch in which they were made. As long
    as nobody copies it the whole batch stays in memory, once for each of the cache's ten entries.
    """
    import mlx.core as mx  # noqa: PLC0415 - only after BLAS

    insert = prompt_cache.insert_cache

    def insert_computed(self: Any, model: Any, tokens: Any, cache: Any, **rest: Any) -> None:
        mx.eval([layer.state for layer in cache])
        insert(self, model, tokens, cache, **rest)

    prompt_cache.insert_cache = insert_computed


def survive_odd_tool_calls(formatter: Any) -> None:
    """Keep the connection when one call of an answer is not shaped as the formatter expects."""
    format_one = formatter._format  # noqa: SLF001 - there is no public seam
    format_all = formatter.__call__

    def only_calls(self: Any, call: Any) -> Any:
        if not isinstance(call, dict) or "name" not in call or "arguments" not in call:
            raise ValueError(f"not a tool call: {call!r:.200}")
        return format_one(self, call)

    def one_by_one(self: Any, tool_calls: Any) -> list[Any]:
        formatted: list[Any] = []
        for text in tool_calls or ():
            try:
                formatted.extend(format_all(self, [text]))
            except Exception as error:  # noqa: BLE001 - any shape of a model's text may come here
                logging.getLogger("punie").warning("Dropped a malformed tool call: %s", error)
        return formatted

    formatter._format = only_calls  # noqa: SLF001 - see above
    formatter.__call__ = one_by_one


def main() -> None:
    """Load BLAS, then mlx_lm, then serve."""
    before_mlx()
    import mlx_lm.server as mlx_server  # noqa: PLC0415 - only after BLAS
    from mlx_lm.models.cache import LRUPromptCache  # noqa: PLC0415 - only after BLAS

    report_the_port()
    take_the_adapter_off_and_on(mlx_server.ModelProvider)
    report_what_loads(mlx_server.ModelProvider)
    end_with_the_generation(mlx_server.ResponseGenerator)
    admit_often(mlx_server.TimeBudget)
    cache_no_whole_batches(LRUPromptCache)
    survive_odd_tool_calls(mlx_server.ToolCallFormatter)
    mlx_server.main()


if __name__ == "__main__":
    main()

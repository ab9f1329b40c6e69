"""A training as a task of SkyPilot: the same command, on a GPU of a cluster or a cloud.

What it asks for and what stays with the person is in specs/cluster.md.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from punie.errors import InputError
from punie.sizes import byte_size

GB = 10**9
GPUS = {
    "L4": 24 * GB,
    "A10G": 24 * GB,
    "A100": 40 * GB,
    "L40S": 48 * GB,
    "A100-80GB": 80 * GB,
    "H100": 80 * GB,
    "H200": 141 * GB,
    "B200": 180 * GB,
}
"""SkyPilot's names of NVIDIA GPUs that compute in bfloat16, and their memory."""
MARGIN = 1.25
"""What is asked for over the estimate, which has CUDA's own memory in it: it becomes fragmented."""
UNKNOWN = 80 * GB
"""What is asked for where a model's config does not say enough for an estimate."""
FOLDER = "~/punie"
"""On the machine; a project's folder in it has the adapter's name."""
VENV = "~/punie-venv"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTask:
    """A training for another machine."""

    name: str
    """The adapter's."""
    arguments: tuple[str, ...]
    """Of `punie train`; paths are relative to the project there."""
    uploads: Mapping[str, str]
    """Path in the project there → file here, relative to the project or absolute."""
    requirement: str
    """What pip installs there."""
    source: Mapping[str, str]
    """The same for punie's own source, where that is what is installed."""
    gpus: tuple[str, ...]
    """Any of these will do."""
    processes: int = 1
    journaled: bool = False
    model: str | None = None
    """Where the base lies here, if the machine has it by another name."""

    @property
    def cluster(self) -> str:
        """A name for the cluster, which clouds allow."""
        return f"punie-{re.sub('[^a-z0-9]+', '-', self.name.lower()).strip('-')}"

    @property
    def folder(self) -> str:
        """The project there."""
        return f"{FOLDER}/{self.name}"

    def commands(self, file: str = "task.yaml") -> dict[str, str]:
        """What a person runs, by what it is for; the first from the project's folder."""
        there = f"{self.cluster}:{self.folder.removeprefix('~/')}"
        journal = {"fetch its entry": f"rsync -a {there}/journal ."} if self.journaled else {}
        base = {"measure it here": self._measured()} if self.model else {}
        return {
            "launch it": f"sky launch -c {self.cluster} {file}",
            "fetch its adapter": f"rsync -a {there}/adapters/{self.name} adapters/",
            **journal,
            **base,
            "give the machine back": f"sky down {self.cluster}",
        }

    def _measured(self) -> str:
        """The adapter names its base as it was called there."""
        return f"punie eval --adapter {self.name} --model {shlex.quote(self.model or '')}"

    def as_dict(self) -> dict[str, Any]:
        """The task as SkyPilot reads it."""
        uploads = {f"{self.folder}/{there}": here for there, here in self.uploads.items()}
        source = {f"{FOLDER}-source/{there}": here for there, here in self.source.items()}
        task: dict[str, Any] = {
            "name": self.cluster,
            "resources": {"accelerators": dict.fromkeys(self.gpus, self.processes)},
            "file_mounts": uploads | source,
            "setup": _setup(self.requirement),
            "run": _run(self.folder, self.arguments),
        }
        return {key: value for key, value in task.items() if value}

    def as_yaml(self) -> str:
        """The same as a file to keep, with the commands above it."""
        import yaml  # noqa: PLC0415 - only where a task is written

        class Dumper(yaml.SafeDumper):
            """Scripts of several lines stay readable."""

        def script(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
            style = "|" if "\n" in text else None
            node: yaml.Node = dumper.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
                "tag:yaml.org,2002:str", text, style=style
            )
            return node

        Dumper.add_representer(str, script)
        heading = [f"# {what + ':':<23}{command}" for what, command in self.commands().items()]
        heading.insert(1, "#   from the project's folder: paths are relative to it")
        body = yaml.dump(
            self.as_dict(), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000
        )
        return "\n".join([*heading, body])


def gpus_for(estimate: int | None) -> tuple[str, ...]:
    """The GPUs with room for a training that takes `estimate` bytes; None: nobody knows.

    Raises InputError where not even the largest has it.
    """
    needed = UNKNOWN if estimate is None else int(MARGIN * estimate)
    found = tuple(name for name, memory in GPUS.items() if memory >= needed)
    if not found:
        name, memory = max(GPUS.items(), key=lambda each: each[1])
        raise InputError(
            f"the training would take about {byte_size(needed)} on its GPU, and the largest that "
            f"punie asks for has {byte_size(memory)} ({name})",
            hint="set quantization to 4bit or gradient_checkpointing in the plan, shorten the "
            "rows, lower batch_size or layers, or take a smaller model",
        )
    return found


def _setup(requirement: str) -> str:
    """Bring punie into an environment of its own; SkyPilot runs it again at each launch."""
    # The requirement may begin with ~, which the shell has to expand: only the rest is quoted.
    home, rest = ("~/", requirement[2:]) if requirement.startswith("~/") else ("", requirement)
    return "\n".join(
        [
            "set -eu",
            'export PATH="$HOME/.local/bin:$PATH"',
            "command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh",
            f"uv venv --quiet --allow-existing --python 3.12 {VENV}",
            f"uv pip install --quiet --python {VENV}/bin/python {home}{shlex.quote(rest)}",
            "",
        ]
    )


def _run(folder: str, arguments: tuple[str, ...]) -> str:
    """The command, in a folder that is a project whatever was uploaded."""
    return "\n".join(
        [
            "set -eu",
            f"mkdir -p {folder}/.punie",
            f"cd {folder}",
            f"{VENV}/bin/punie train {shlex.join(arguments)}",
            "",
        ]
    )

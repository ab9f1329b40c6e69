"""A run: one suite, one model, one adapter, and everything needed to trace its numbers."""

from enum import StrEnum

from pydantic import Field

from punie.records.base import SCHEMA_VERSION, Record
from punie.records.judgement import JudgeSummary
from punie.records.result import Outcome
from punie.records.suite import EvalSuite, Sampling
from punie.records.summary import Summary
from punie.records.training import Quantization
from punie.records.trust import Checks, Incident


class RunStatus(StrEnum):
    """How far a run came."""

    RUNNING = "running"
    DONE = "done"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class ModelIdentity(Record):
    """What was measured. Hashes are SHA-256, None where the weights are out of reach (a URL)."""

    name: str
    """As the person wrote it: a built-in name, hub id, folder or remote model name."""
    backend: str
    """`mlx`, `cuda` or `endpoint`."""
    url: str | None = None
    weights_hash: str | None = None
    model_hash: str | None = None
    """Over weights, config, tokenizer and template together."""
    template_hash: str | None = None
    parameters: int | None = None
    dtype: str | None = None
    """Of the weights on disk: `float32`, `bfloat16` or e.g. `4-bit, group 32`."""
    quantization: Quantization = Quantization.NONE
    """How the backend packed the weights while it loaded them."""
    computed_in: str | None = None
    """The type in which the backend computes, where it is not that of the weights."""
    device: str | None = None
    """`cpu`, or the name of the GPU; None where the backend leaves no choice, as mlx does."""
    server: str | None = None
    """What served it, where the backend has several: `transformers` or `vllm`."""
    server_version: str | None = None
    """Of a server that is no part of punie's own environment, such as vLLM."""
    adapter: str | None = None
    adapter_hash: str | None = None
    builtin_demo: bool = False
    """True for the built-in model when nobody asked for it: a demo, not the user's own."""
    own_code: tuple[str, ...] = ()
    """Python files that the model's configs name. They were not run: `trust_remote_code` is off.
    Whether a server of somebody else runs any is not known."""


class Provenance(Record):
    """Where a number comes from: software, hardware, source control, the command."""

    command: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: str = ""
    """Processor, cores and memory; never a host or user name."""
    platform: str = ""
    git_commit: str | None = None
    git_dirty: bool | None = None


class Sources(Record):
    """Where the parts of a run were found on this machine, for resuming it there.

    Paths are absolute or begin with `~`. The journal leaves all of it out.
    """

    suite: str
    """`builtin`, or the suite's file."""
    model: str
    """A path, or a name as it was written."""
    adapter: str | None = None
    url: str | None = None
    """A URL or a configured endpoint's name, as it was written."""
    output: str | None = None
    """The file that the results go to."""
    goal: str | None = None
    """That of the journal entry that was asked for."""
    prices: tuple[float, float] | None = None
    """(input, output) per million tokens, where the endpoint's were declared."""


class Run(Record):
    """The head of a run, without its results."""

    schema_version: int = SCHEMA_VERSION
    id: str
    created_at: str
    """UTC, ISO 8601."""
    suite_name: str
    suite_version: str
    suite_hash: str
    suite_source: str
    model: ModelIdentity
    sampling: Sampling
    concurrency: int
    repeats: int = 1
    tools_mode: str = "auto"
    """How tools reached the model: `native` (its template) or `prompt` (in the system turn)."""
    selection: dict[str, str] = Field(default_factory=dict)
    """The filters that chose the prompts: category, role, tag, sample, seed."""
    timed_with: str | None = None
    """Id of the run that was asked side by side with this one, in turns, one request at a time: of
    such a pair the latencies can be compared."""
    decided_after: int | None = None
    """Prompts after which a sequential test against another run had decided, where it was asked to
    end there: the run is whole without the rest of its suite."""
    decided_of: int | None = None
    """With `decided_after`: prompts that would have been asked without the test."""
    provenance: Provenance = Provenance()
    sources: Sources | None = None
    """None where the run was not made by `punie eval`: it cannot be resumed."""
    status: RunStatus = RunStatus.RUNNING
    checks: Checks | None = None
    """None where nobody asked for checks: a run from Python, or of an older punie."""
    incidents: tuple[Incident, ...] = ()
    summary: Summary | None = None
    judged: JudgeSummary | None = None
    """What a judge says of the answers, beside the summary and in none of its numbers."""


class EvalReport(Record):
    """A finished run: its head, its suite, every outcome.

    `outcomes` is empty where they went to a store as they came, as with `punie eval`.
    """

    run: Run
    suite: EvalSuite
    outcomes: tuple[Outcome, ...] = ()

    @property
    def summary(self) -> Summary:
        """The run's numbers."""
        if self.run.summary is None:
            msg = f"run {self.run.id} has no summary yet"
            raise ValueError(msg)
        return self.run.summary

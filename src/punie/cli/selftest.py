"""`punie doctor --selftest`: a tiny model is built, served and measured as `punie eval` does it."""

import asyncio
import subprocess
import tempfile
import time
from pathlib import Path

from punie.errors import PunieError
from punie.models.worker import worker_argv
from punie.records.checkup import Checkup, ok, problem

NAME = "selftest"
BUILD_S = 120.0
LOG_LINES = 20
PROMPTS = 4
SUITE = """\
name: selftest
defaults: {max_tokens: 8}
prompts:
  - {id: word, prompt: What is the capital of France?, expect: {keywords: [Paris]}}
  - {id: number, prompt: What is the sum of four and seven?, expect: {number: 11}}
  - {id: exact, prompt: Say yes., expect: {exact: "yes"}}
  - id: call
    prompt: Add 4 and 7.
    tools: [{name: add, parameters: {type: object, properties: {a: {type: integer}}}}]
    expect: {tool_calls: [{name: add, arguments: {a: 4}}]}
"""


def selftest() -> Checkup:
    """Do once all that an eval does, in a temporary folder, and say how long it took.

    What the tiny model answers is noise; that it answers, that every answer is kept and that no
    process is left is what is looked at.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="punie-selftest-") as folder:
        root = Path(folder)
        try:
            failure = _build(root) or _measure(root)
        except PunieError as error:
            failure = error.message
        except Exception as error:  # noqa: BLE001 - whatever it was, the selftest failed
            failure = f"{type(error).__name__}: {error}"
        if failure:
            # A server that failed has brought its log along.
            log = "" if "of its log" in failure else _log_end(root)
            return problem(NAME, f"{failure}{log}", "look at the problems above, or report this")
    seconds = time.monotonic() - began
    return ok(
        NAME,
        f"a tiny model was built and served, {PROMPTS} prompts were asked and kept, the server "
        f"was ended, in {seconds:.1f} s",
    )


def _build(root: Path) -> str:
    """Build the model; what went wrong, or nothing."""
    worker = worker_argv("tiny", str(root / "model"))
    try:
        done = subprocess.run(  # noqa: S603 - our own worker
            worker, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the tiny model was not built within {BUILD_S:.0f} s"
    if done.returncode == 0:
        return ""
    said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"the tiny model could not be built: {said}"


def _measure(root: Path) -> str:
    """Measure it as `punie eval` does; what went wrong, or nothing."""
    from punie.backends.choose import usual_backend
    from punie.cli.measure import measure
    from punie.cli.wish import Wish
    from punie.records.run import RunStatus
    from punie.settings import Loaded, Settings
    from punie.store.runs import RunStore

    (root / "suite.yaml").write_text(SUITE, encoding="utf-8")
    suite, model = str(root / "suite.yaml"), str(root / "model")
    wish = Wish(suite=suite, model=model, backend=usual_backend(), quiet=True)
    before = _servers()
    asyncio.run(measure(wish, Loaded(project=root, values=Settings(), origins={})))
    with RunStore(root) as store:
        (run,) = store.heads()
        kept = sum(1 for _ in store.rows(run.id))
    faults = run.summary.faults if run.summary else 0
    if run.status is not RunStatus.DONE or kept != PROMPTS or faults:
        return f"the run is {run.status.value}, {kept} of {PROMPTS} kept, {faults} faults"
    left = _servers() - before
    return f"processes are left running: {sorted(left)}" if left else ""


def _servers() -> set[int]:
    """Processes under this one."""
    import psutil

    return {child.pid for child in psutil.Process().children(recursive=True)}


def _log_end(root: Path) -> str:
    """The last lines of the server's log, where it came so far."""
    logs = sorted((root / ".punie").glob("runs/*/server.log"))
    lines = [
        line
        for log in logs[-1:]
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    return "\n".join(["\nthe end of the server's log:", *lines[-LOG_LINES:]]) if lines else ""

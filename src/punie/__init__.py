"""Punie: measure a small open model, train an adapter, and get an honest verdict.

The public names. Each is imported when it is first used, so that `import punie` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from punie.analysis.compared import compare_reports as compare_reports
    from punie.backends.local import serve_model as serve_model
    from punie.evaluation.checks import self_check as self_check
    from punie.evaluation.run import new_run as new_run
    from punie.evaluation.run import run_evaluation as run_evaluation
    from punie.records.comparison import Comparison as Comparison
    from punie.records.result import Completion as Completion
    from punie.records.result import EvalFault as EvalFault
    from punie.records.result import EvalResult as EvalResult
    from punie.records.run import EvalReport as EvalReport
    from punie.records.suite import EvalPrompt as EvalPrompt
    from punie.records.suite import EvalSuite as EvalSuite
    from punie.scoring.score import score_keyword_presence as score_keyword_presence
    from punie.scoring.score import score_prompt as score_prompt
    from punie.scoring.score import score_tool_calling as score_tool_calling
    from punie.serving.config import ServerConfig as ServerConfig
    from punie.serving.endpoint import Endpoint as Endpoint
    from punie.serving.process import ServerProcess as ServerProcess
    from punie.suites.catalog import find_suite as find_suite
    from punie.suites.load import load_suite as load_suite

_PLACES = {
    "Comparison": "punie.records.comparison",
    "Completion": "punie.records.result",
    "Endpoint": "punie.serving.endpoint",
    "EvalFault": "punie.records.result",
    "EvalPrompt": "punie.records.suite",
    "EvalReport": "punie.records.run",
    "EvalResult": "punie.records.result",
    "EvalSuite": "punie.records.suite",
    "ServerConfig": "punie.serving.config",
    "ServerProcess": "punie.serving.process",
    "compare_reports": "punie.analysis.compared",
    "find_suite": "punie.suites.catalog",
    "load_suite": "punie.suites.load",
    "new_run": "punie.evaluation.run",
    "run_evaluation": "punie.evaluation.run",
    "score_keyword_presence": "punie.scoring.score",
    "score_prompt": "punie.scoring.score",
    "score_tool_calling": "punie.scoring.score",
    "self_check": "punie.evaluation.checks",
    "serve_model": "punie.backends.local",
}
__all__ = list(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll] - one list, not two


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'punie' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])

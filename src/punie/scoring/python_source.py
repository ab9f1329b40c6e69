"""Python answers: does the source parse, and does it define what it should. Nothing is run."""

import ast
import warnings
from collections.abc import Iterator
from textwrap import dedent
from typing import Literal, overload

from punie.records.expect import Python
from punie.records.result import Completion, Culprit, Score
from punie.scoring.grade import grade, quote, unanswered, was_cut
from punie.scoring.text import fenced_blocks

SOURCE_LIMIT = 100_000
"""Characters of source that are parsed; no honest answer is longer."""
_PYTHON = ("python", "py", "python3")


def score_python(expectation: Python, completion: Completion, text: str) -> Score:
    """The share of the named definitions that are there; 0 if the source does not parse."""
    empty = unanswered(text, completion)
    if empty:
        return grade(expectation, 0.0, empty, "expected Python source, got no answer")
    source, fenced = python_part(text)
    try:
        module = parse_python(source, "exec")
    except SyntaxError as problem:
        if was_cut(completion):
            culprit = Culprit.TRUNCATED
        else:
            culprit = Culprit.SYNTAX_ERROR if fenced or _looks_like(source) else Culprit.NO_CODE
        place = f"line {problem.lineno}: " if problem.lineno else ""
        note = f"expected Python source, got {quote(source)} ({place}{problem.msg})"
        return grade(expectation, 0.0, culprit, note)
    if not any(map(_does_something, module.body)):
        note = f"expected Python source, got {quote(text)}"
        return grade(expectation, 0.0, Culprit.NO_CODE, note)
    defined = set(_definitions(module))
    missing = [name for name in expectation.defines if name not in defined]
    if not missing:
        return grade(expectation, 1.0)
    culprit = Culprit.TRUNCATED if was_cut(completion) else Culprit.MISSING_DEFINITION
    got = ", ".join(sorted(defined)) or "no definition"
    note = f"expected a definition of {', '.join(missing)}, got {got}"
    return grade(expectation, 1 - len(missing) / len(expectation.defines), culprit, note)


def python_part(text: str) -> tuple[str, bool]:
    """The source in an answer, and whether it was fenced.

    It is the first block named as Python, else the first block, else the whole answer.
    """
    blocks = fenced_blocks(text)
    named = [block for block in blocks if block.language in _PYTHON]
    chosen = (named or blocks or [None])[0]
    return (dedent(chosen.content), True) if chosen else (text, False)


@overload
def parse_python(source: str, mode: Literal["exec"]) -> ast.Module: ...
@overload
def parse_python(source: str, mode: Literal["eval"]) -> ast.Expression: ...
def parse_python(source: str, mode: Literal["exec", "eval"]) -> ast.AST:
    """`ast.parse` for text that nobody vouches for; SyntaxError is its only failure."""
    if len(source) > SOURCE_LIMIT:
        raise SyntaxError(f"more than {SOURCE_LIMIT} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in an answer is not our warning
            return ast.parse(source, mode=mode)
    except (ValueError, RecursionError, MemoryError) as problem:
        raise SyntaxError(str(problem) or "nested too deeply") from None


def _does_something(statement: ast.stmt) -> bool:
    """Whether a statement is code; a lone word or literal is prose that happens to parse."""
    prose = (ast.Name, ast.Constant, ast.Tuple)
    return not (isinstance(statement, ast.Expr) and isinstance(statement.value, prose))


def _looks_like(source: str) -> bool:
    starts = ("def ", "async def ", "class ", "import ", "from ", "@")
    return any(line.startswith(starts) for line in source.splitlines())


def _definitions(module: ast.Module) -> Iterator[str]:
    """Names of functions and classes that a module defines, members as `Class.member`.

    Looks into `if` and `try`, and not into functions, whose inner names nobody can reach.
    """
    pending: list[tuple[str, ast.AST]] = [("", module)]
    while pending:
        prefix, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + child.name
            elif isinstance(child, ast.ClassDef):
                yield prefix + child.name
                pending.append((f"{prefix}{child.name}.", child))
            elif isinstance(child, ast.Assign) and isinstance(child.value, ast.Lambda):
                yield from (
                    prefix + name.id for name in child.targets if isinstance(name, ast.Name)
                )
            elif isinstance(child, ast.stmt | ast.ExceptHandler):
                pending.append((prefix, child))

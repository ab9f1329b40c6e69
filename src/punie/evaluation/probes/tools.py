"""Whether tools reach the model, and who reads the calls that it writes."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import JsonValue

from punie.evaluation.ask import IN_PROMPT
from punie.evaluation.probes.questions import Questions, characters
from punie.records.run import Run
from punie.records.suite import EvalPrompt
from punie.records.trust import Finding, Level
from punie.serving.endpoint import Endpoint

NAME = "tools"


async def tools_arrive(
    questions: Questions, prompts: Sequence[EvalPrompt], run: Run, endpoint: Endpoint
) -> Finding:
    """Count the tokens of a prompt with its tools and without. Raises NotAnswered."""
    having = [prompt for prompt in prompts if prompt.tools]
    if not having:
        return Finding(name=NAME, level=Level.OK, sentence="No prompt of this run has tools.")
    if run.tools_mode == IN_PROMPT:
        sentence = "Tools are written into the system turn, and calls are read out of the text."
        return Finding(name=NAME, level=Level.OK, sentence=sentence)
    shortest = min(having, key=characters)
    given = (await questions.ask(shortest, max_tokens=1)).prompt_tokens
    bare = (await questions.ask(replace(shortest, tools=()), max_tokens=1)).prompt_tokens
    parser = endpoint.abilities.parser
    details: dict[str, JsonValue] = {
        "tokens_with": given,
        "tokens_without": bare,
        "parser": parser,
    }
    if given is None or bare is None:
        return Finding(
            name=NAME,
            level=Level.NOTE,
            sentence="The endpoint counts no tokens, so nobody can tell whether tools reach it.",
            consequence="if calls are missing everywhere, try --tools prompt",
            details=details,
        )
    if given <= bare:
        return Finding(
            name=NAME,
            level=Level.WARNING,
            sentence=f"Tools do not reach the model: {shortest.id} has {given} tokens with them "
            f"and {bare} without.",
            consequence="the scores of tool calls below say nothing; --tools prompt writes the "
            "tools into the system turn",
            details=details,
        )
    arrive = f"Tools reach the model ({given - bare} tokens in {shortest.id})"
    if parser and not endpoint.abilities.token_ids:
        return Finding(
            name=NAME,
            level=Level.NOTE,
            sentence=f"{arrive}; calls are read by the server's parser {parser}, and text that it "
            "loses cannot be recovered.",
            consequence="a call that is not well formed may look like an empty answer",
            details=details,
        )
    reader = f"calls are read by the server's parser {parser}" if parser else "no parser is known"
    return Finding(
        name=NAME,
        level=Level.OK,
        sentence=f"{arrive}; {reader}.",
        details=details,
    )

"""What a run needs of who answers it, refused where it is missing or said where it is less."""

from collections.abc import Iterator

from punie.errors import InputError
from punie.evaluation.ask import NATIVE
from punie.records.run import Run
from punie.records.suite import EvalSuite
from punie.records.trust import Finding, Level
from punie.serving.endpoint import SAMPLING, Endpoint


def check_needs(suite: EvalSuite, endpoint: Endpoint, run: Run) -> None:
    """Raise InputError for what the endpoint cannot do, or what would end its server.

    Servers ignore silently what they do not know, or refuse every prompt of the suite because of
    it: in either case the numbers would say nothing.
    """
    able, who = endpoint.abilities, endpoint.server
    if run.tools_mode == NATIVE and not able.tools and any(each.tools for each in suite.prompts):
        raise InputError(
            f"{suite.name} has prompts with tools, and {who} can give this model none: its chat"
            " template has no place for them, or nobody here reads its calls",
            hint="--tools prompt writes the tools into the system turn",
        )
    for name in sorted(SAMPLING - able.sampling):
        if getattr(suite.sampling, name, None):
            raise InputError(
                f"this run samples with {name}, which {who} does not heed",
                hint=f"leave {name} out of the suite, the settings and the command line, or serve "
                "with a server that heeds it",
            )
    top_k, vocabulary = suite.sampling.top_k, endpoint.vocabulary
    if top_k is not None and vocabulary is not None and top_k > vocabulary:
        raise InputError(
            f"top_k {top_k} is more than the {vocabulary} tokens of the model",
            hint="leave top_k out to sample among all tokens",
        )


def shortfalls(suite: EvalSuite, endpoint: Endpoint) -> Iterator[Finding]:
    """What the run has to do without, known without a question to the endpoint.

    A seed that is ignored makes a run that nobody can repeat, however alike two answers are.
    """
    sampling = suite.sampling
    if sampling.temperature > 0 and sampling.seed is not None and not endpoint.abilities.seed:
        yield Finding(
            name="seed",
            level=Level.WARNING,
            sentence=f"The seed is ignored: {endpoint.server} draws with random numbers of its own "
            f"at temperature {sampling.temperature:g}.",
            consequence="this run cannot be repeated answer by answer",
            details={"seed": sampling.seed},
        )

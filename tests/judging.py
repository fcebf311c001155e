"""Three questions and what three teachers said of them, small enough that every verdict can be worked out by hand."""

from __future__ import annotations

from tinyllm.corpus.assemble import FindRationales
from tinyllm.params.schema import Audit
from tinyllm.records.questions import Question

LIMITS = Audit(min_words=3, max_words=40, min_distinct=0.5, drop_contradictions=True, drop_unconcluded=False)
SPLITS = {
    "train": [
        Question("q1", "What melts in the sun?", ("stone", "ice"), 1, "It is noon."),
        Question("q2", "What floats on a lake?", ("wood", "iron"), 0),
    ],
    "valid": [Question("q3", "What burns well?", ("paper", "sand"), 0)],
}


def finding(rows: list[dict]) -> FindRationales:
    """What looks a question up in these rows."""
    return lambda question: [row for row in rows if row["id"] == question.id]


def row(id_: str, rationale: str | None, status: str = "ok") -> dict:
    return {"id": id_, "rationale": rationale, "status": status}


ANN = [
    row("q3", "Paper takes fire soon. The answer is paper."),
    row("q1", "Let's think step by step.\nWarmth turns ice to water. The answer is (b).\nQuestion:\nWhat"),
    row("q2", "Wood is lighter than water. The answer is (a)."),
]
BOB = [
    row("q1", "Ice is frozen water. The answer is (a)."),
    row("q2", None, "nan"),
    row("gone", "Some question that was dropped."),
]
CY = [row("q1", "Ice becomes water in warmth."), row("q2", "Wood is lighter than water."), row("q3", "No.")]

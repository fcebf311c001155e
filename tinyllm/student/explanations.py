"""What the trained student writes when it is asked to explain: one rationale a question under each teacher's prefix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinyllm.params.schema import Params
from tinyllm.records.questions import Question, input_text
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.predict import Progress, generate_texts


def write_rationales(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    teachers: Sequence[str],
    params: Params,
    progress: Progress = lambda n: None,
) -> dict[str, dict[str, str]]:
    """Return the student's greedy rationales by question id and teacher; "" where it ends at once."""
    student, batch_tokens = params.student, params.runtime.batch_tokens
    reader = InputEncoder(student, model, tokenizer)
    found: dict[str, dict[str, str]] = {question.id: {} for question in questions}
    for teacher in teachers:
        prefix = student.rationale_prefix.replace("{teacher}", teacher)
        readings = [reader.question(prefix, q.context, input_text(q), TruncationCounts()) for q in questions]
        texts = generate_texts(model, tokenizer, readings, student.max_target_tokens, batch_tokens, progress)
        for question, text in zip(questions, texts, strict=True):
            found[question.id][teacher] = text
    return found

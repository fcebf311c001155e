"""A trained student's answer to one question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from tinyllm.params.schema import Params
from tinyllm.records.predictions import probabilities
from tinyllm.records.questions import Question


def answer(
    model: Any, tokenizer: Any, question: Question, teachers: Sequence[str], params: Params
) -> dict[str, str | int | list[float] | dict[str, str]]:
    """Return the `id`, the `answer` as text and, of a question with options, its index `choice` and all `probabilities`.

    Args:
        question: its own `answer` is not looked at
        teachers: in whose voices `rationales` are added; none leaves the field out
    """
    from tinyllm.student.encoding import InputEncoder
    from tinyllm.student.explanations import write_rationales  # these bring torch
    from tinyllm.student.predict import choose, encode_questions, generate_texts, option_scores

    student, score, batch_tokens = params.student, params.score, params.runtime.batch_tokens
    readings, options, cuts = encode_questions(
        [question], InputEncoder(student, model, tokenizer), student.answer_prefix
    )
    if cuts.inputs_cut:
        limit = f"student.max_input_tokens ({student.max_input_tokens})"
        print(f"note: {question.id}: longer than {limit}; the head of its context was left out", file=sys.stderr)
    told: dict[str, Any] = {"id": question.id}
    if question.choices:
        (scores,) = option_scores(model, readings, options, batch_tokens, score.normalize)
        chosen = choose(scores)
        sure = [round(value, 4) for value in probabilities(scores)]
        told |= {"answer": question.choices[chosen], "choice": chosen, "probabilities": sure}
    else:
        (told["answer"],) = generate_texts(model, tokenizer, readings, score.max_new_tokens, batch_tokens)
    if teachers:
        told["rationales"] = write_rationales(model, tokenizer, [question], teachers, params)[question.id]
    return told

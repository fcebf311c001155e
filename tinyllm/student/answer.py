"""A trained student's answer to one question."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tinyllm.console import printable
from tinyllm.models.loaded import LoadedModel
from tinyllm.params.schema import Params
from tinyllm.records.predictions import probabilities
from tinyllm.records.questions import Question
from tinyllm.student.encoding import InputEncoder
from tinyllm.student.generate import generate_texts, write_rationales
from tinyllm.student.predict import choose, encode_questions, option_scores


def answer(
    model: LoadedModel, question: Question, teachers: Sequence[str], params: Params
) -> dict[str, str | int | list[float] | dict[str, str]]:
    """Return the `id`, the `answer` as text and, of a question with options, its index `choice` and all `probabilities`.

    Args:
        question: its own `answer` is not looked at
        teachers: in whose voices `rationales` are added; none leaves the field out
    """
    student, score, batch_tokens = params.student, params.score, params.runtime.batch_tokens
    inputs, options, cuts = encode_questions([question], InputEncoder(student, model), student.answer_prefix)
    if cuts.inputs_cut:
        limit = f"student.max_input_tokens ({student.max_input_tokens})"
        print(
            f"note: {printable(question.id)}: longer than {limit}; the head of its context was left out",
            file=sys.stderr,
        )
    fields: dict[str, str | int | list[float] | dict[str, str]] = {"id": question.id}
    if question.choices:
        (scores,) = option_scores(model, inputs, options, batch_tokens, score.normalize)
        chosen = choose(scores)
        sure = [round(value, 4) for value in probabilities(scores)]
        fields |= {"answer": question.choices[chosen], "choice": chosen, "probabilities": sure}
    else:
        (fields["answer"],) = generate_texts(model, inputs, score.max_new_tokens, batch_tokens)
    if teachers:
        fields["rationales"] = write_rationales(model, [question], teachers, params)[question.id]
    return fields

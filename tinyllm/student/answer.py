"""A trained student's answer to one question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyllm.console import printable
from tinyllm.models.loaded import LoadedModel
from tinyllm.params.schema import Params
from tinyllm.records.predictions import probabilities
from tinyllm.records.questions import Question
from tinyllm.student.asked import ask, asked_teachers, weights_of
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.generate import generate_texts, write_rationales
from tinyllm.student.predict import choose, encode_questions, option_scores
from tinyllm.student.voices import Voice
from tinyllm.student.vote import VoiceRecord, read_voices, vote

Fields = dict[str, Any]  # of an answer, as `tinyllm ask --json` prints them


def answer(model: LoadedModel, folder: Path, question: Question, teachers: Sequence[str], params: Params) -> Fields:
    """Return the `id`, the `answer` as text and, of a question with options, its index `choice` and all `probabilities`.

    Of a student that is asked in voices the answer is their vote, and `voices` has what each said.

    Args:
        folder: the student's, which has its voices' accuracies on valid
        question: its own `answer` is not looked at
        teachers: in whose voices `rationales` are added, where the student is asked directly, or else further `voices`
            that have no vote; none adds nothing

    Raises:
        ValueError: the best voice is asked for and not known.
    """
    record = read_voices(folder)
    asked = asked_teachers(params, record, folder)
    if asked:
        return {"id": question.id, **_voted(model, folder, question, asked, teachers, params, record)}
    student, score, batch_tokens = params.student, params.score, params.runtime.batch_tokens
    inputs, options, cuts = encode_questions([question], InputEncoder(student, model), student.answer_prefix)
    _tell_cuts(question, cuts, params)
    fields: Fields = {"id": question.id}
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


def _voted(
    model: LoadedModel,
    folder: Path,
    question: Question,
    asked: Sequence[str],
    others: Sequence[str],
    params: Params,
    record: VoiceRecord | None,
) -> Fields:
    """Return the vote of the voices asked, and what each said, those without a vote too."""
    prefix = params.student.rationale_prefix.replace("{teacher}", asked[0])
    _tell_cuts(question, encode_questions([question], InputEncoder(params.student, model), prefix)[2], params)
    teachers = list(dict.fromkeys([*asked, *others]))
    weights = weights_of(record, asked, folder)
    (voices,) = ask(model, [question], teachers, params, record)
    voted = vote({teacher: voices[teacher] for teacher in asked}, weights, question)
    fields: Fields = {"answer": voted.answer}
    if question.choices:
        fields |= {"choice": voted.choice, "probabilities": [round(value, 4) for value in voted.probabilities]}
    total = sum(weights.values())
    shares = {teacher: round(weight / total, 4) for teacher, weight in weights.items()}
    return fields | {"voices": {teacher: _told(voice, shares.get(teacher, 0.0)) for teacher, voice in voices.items()}}


def _told(voice: Voice, share: float) -> Fields:
    """What is printed of a voice; `weight` is its share of the vote."""
    fields: Fields = {"rationale": voice.rationale, "answer": voice.answer, "weight": share}
    if voice.choice is None:
        return fields
    return fields | {"choice": voice.choice, "probabilities": [round(value, 4) for value in voice.probabilities]}


def _tell_cuts(question: Question, cuts: TruncationCounts, params: Params) -> None:
    if cuts.inputs_cut:
        limit = f"student.max_input_tokens ({params.student.max_input_tokens})"
        print(
            f"note: {printable(question.id)}: longer than {limit}; the head of its context was left out",
            file=sys.stderr,
        )

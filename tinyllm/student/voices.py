"""A student's voices: under each teacher's prefix it writes a rationale, and answers behind it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyllm.models.likelihood import EncodedInput
from tinyllm.models.loaded import LoadedModel
from tinyllm.models.plain_text import PlainText
from tinyllm.params.schema import Params
from tinyllm.records.predictions import probabilities
from tinyllm.records.questions import Question, input_text
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.generate import Progress, generate_texts, match_answer
from tinyllm.student.predict import choose, option_scores, rounded
from tinyllm.student.target_text import join, split


@dataclass(frozen=True)
class Voice:
    """What a student says of one question under one teacher's prefix."""

    rationale: str
    answer: str | None  # as it was written; None where the text has none
    choice: int | None  # of a question with options the likeliest behind the rationale
    probabilities: list[float]  # of the options; empty without any


def ask_voices(
    model: LoadedModel,
    questions: Sequence[Question],
    teachers: Sequence[str],
    params: Params,
    progress: Progress = lambda n: None,
) -> list[dict[str, Voice]]:
    """Return by question, and by teacher, what the student says of it."""
    with rounded(model, params.score.precision):
        voices = {name: _ask(model, questions, name, params, progress) for name in teachers}
    return [{name: voices[name][i] for name in teachers} for i in range(len(questions))]


def voice_accuracies(
    asked: Sequence[dict[str, Voice]], questions: Sequence[Question], plain_text: PlainText
) -> dict[str, float]:
    """Return by teacher the share of questions that its voice answers right."""
    right: dict[str, list[bool]] = {}
    for voices, question in zip(asked, questions, strict=True):
        for name, voice in voices.items():
            by_text = voice.answer is not None and match_answer(voice.answer, question.gold, plain_text)
            right.setdefault(name, []).append(by_text if question.free else voice.choice == question.answer)
    return {name: float(np.mean(values)) for name, values in right.items()}


def _ask(
    model: LoadedModel, questions: Sequence[Question], teacher: str, params: Params, progress: Progress
) -> list[Voice]:
    student, budget = params.student, params.runtime.batch_tokens
    encoder = InputEncoder(student, model)
    prefix = student.rationale_prefix.replace("{teacher}", teacher)
    inputs = encoder.questions(prefix, [(q.context, input_text(q)) for q in questions], TruncationCounts())
    texts = generate_texts(model, inputs, student.max_target_tokens, budget, progress)
    said = [split(student.target, text) for text in texts]
    if questions[0].free:
        return [Voice(rationale, answer, None, []) for rationale, answer in said]
    behind = [
        _options(encoder, encoded, rationale, question.choices, student.target)
        for encoded, (rationale, _), question in zip(inputs, said, questions, strict=True)
    ]
    scores: list[list[float]] = [[] for _ in questions]
    by_prompt: dict[int, list[int]] = {}  # a T5's prompts must be of one length
    for i, (encoded, _) in enumerate(behind):
        by_prompt.setdefault(0 if model.causal else len(encoded.prompt), []).append(i)
    for group in by_prompt.values():
        rows = option_scores(model, [behind[i][0] for i in group], [behind[i][1] for i in group], budget)
        for i, row in zip(group, rows, strict=True):
            scores[i] = row
    return [
        Voice(rationale, answer, choose(row), probabilities(row))
        for (rationale, answer), row in zip(said, scores, strict=True)
    ]


def _options(
    encoder: InputEncoder, encoded: EncodedInput, rationale: str, choices: Sequence[str], target: str
) -> tuple[EncodedInput, list[np.ndarray]]:
    """Return the input with all that the options' texts have in common, and what is left of each.

    Each is tokenised with the rationale before it, as it was learnt.
    """
    texts = encoder.targets([join(target, rationale, choice) for choice in choices], TruncationCounts(), 10**6)
    common = min(len(os.path.commonprefix([list(text) for text in texts])), min(map(len, texts)) - 1)
    prompt = np.concatenate([encoded.prompt, texts[0][:common]])
    return replace(encoded, prompt=prompt), [text[common:] for text in texts]

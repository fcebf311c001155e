"""Accuracy on valid, by which the best look at a student is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tinyllm.models.loaded import LoadedModel
from tinyllm.params.schema import Params
from tinyllm.records.questions import Question
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.generate import generate_texts, match_answer
from tinyllm.student.predict import choose, encode_questions, option_scores, rounded
from tinyllm.student.voices import ask_voices, longest_ended, voice_accuracies

SPARE_TOKENS = 8  # a text that goes on so far beyond the longest gold answer of valid is none of them


class Judgement(NamedTuple):
    """Of a student: its accuracy on valid and, where it answers in several voices, that of each by its teacher."""

    accuracy: float
    voices: dict[str, float]
    longest: int = 0  # tokens of the longest text of these that ended by itself


Judge = Callable[[LoadedModel], Judgement]


class Look(NamedTuple):
    """A judgement after so many optimizer steps."""

    step: int
    accuracy: float
    voices: dict[str, float]
    longest: int = 0


def best_look(looks: Sequence[Look]) -> Look:
    """Return the look with the highest accuracy, of equal ones the first."""
    return max(looks, key=lambda look: (look.accuracy, -look.step))


def open_judge(
    valid: Sequence[Question], reader: InputEncoder, params: Params, learnt: Sequence[str], longest: int
) -> Judge:
    """Return what looks at valid: it asks a student as that will be asked.

    Args:
        learnt: the tasks that have a target in train
        longest: tokens of the longest of these
    """
    if params.student.target == "rationale_then_answer":
        return VoicesValidator(valid, learnt, params, longest)
    return Validator(valid, reader, params)


class Validator:
    """Accuracy on valid, by likelihood or, of free-text questions, by exact match; tokenises once."""

    def __init__(self, questions: Sequence[Question], encoder: InputEncoder, params: Params) -> None:
        self.inputs, self.options, _ = encode_questions(questions, encoder, params.student.answer_prefix)
        self.free, self.gold = questions[0].free, [question.answer for question in questions]
        self.batch_tokens, self.score = params.runtime.batch_tokens, params.score
        self.longest = 0
        if self.free:  # from valid itself: score.max_new_tokens must not train anew where it only shapes a text
            golds = encoder.targets([question.gold for question in questions], TruncationCounts(), limit=10**6)
            self.longest = max(map(len, golds)) + SPARE_TOKENS

    def __call__(self, model: LoadedModel) -> Judgement:
        with rounded(model, self.score.precision):
            return Judgement(self._accuracy(model), {})

    def _accuracy(self, model: LoadedModel) -> float:
        if self.free:
            texts = generate_texts(model, self.inputs, self.longest, self.batch_tokens)
            right = [
                match_answer(text, str(gold), model.plain_text) for text, gold in zip(texts, self.gold, strict=True)
            ]
        else:
            scores = option_scores(model, self.inputs, self.options, self.batch_tokens, self.score.normalize)
            right = [choose(row) == gold for row, gold in zip(scores, self.gold, strict=True)]
        return float(np.mean(right))


class VoicesValidator:
    """Accuracy on valid of a student that answers behind its rationales: the mean over its voices, asked as they will be.

    Args:
        teachers: whose prefixes it answers under
        longest: tokens of the longest target of train: what goes on further is none of them, and an untrained student does
    """

    def __init__(self, questions: Sequence[Question], teachers: Sequence[str], params: Params, longest: int) -> None:
        self.questions, self.teachers = questions, teachers
        student = params.student.model_copy(
            update={"max_target_tokens": min(longest, params.student.max_target_tokens)}
        )
        self.params = params.model_copy(update={"student": student})

    def __call__(self, model: LoadedModel) -> Judgement:
        asked = ask_voices(model, self.questions, self.teachers, self.params)
        voices = voice_accuracies(asked, self.questions, model.plain_text)
        return Judgement(float(np.mean(list(voices.values()))), voices, longest_ended(asked))

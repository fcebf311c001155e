"""Accuracy on valid, by which the best look at a student is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyllm.models.loaded import LoadedModel
from tinyllm.params.schema import Params
from tinyllm.records.questions import Question
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.generate import generate_texts, match_answer
from tinyllm.student.predict import choose, encode_questions, option_scores, rounded

SPARE_TOKENS = 8  # a text that goes on so far beyond the longest gold answer of valid is none of them


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

    def __call__(self, model: LoadedModel) -> float:
        with rounded(model, self.score.precision):
            return self._accuracy(model)

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

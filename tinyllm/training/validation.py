"""Accuracy on valid, by which the best look at a student is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyllm.params.schema import Params
from tinyllm.records.questions import Question
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.predict import choose, encode_questions, generate_texts, match_answer, option_scores, rounded

SPARE_TOKENS = 8  # a text that goes on so far beyond the longest gold answer of valid is none of them


class Validator:
    """Accuracy on valid, by likelihood or, of free-text questions, by exact match; tokenises once."""

    def __init__(self, questions: Sequence[Question], reader: InputEncoder, params: Params) -> None:
        self.readings, self.options, _ = encode_questions(questions, reader, params.student.answer_prefix)
        self.free, self.gold = questions[0].free, [question.answer for question in questions]
        self.batch_tokens, self.score = params.runtime.batch_tokens, params.score
        self.tokenizer, self.longest = reader.tokenizer, 0
        if self.free:  # from valid itself: score.max_new_tokens must not train anew where it only shapes a text
            golds = reader.targets([question.gold for question in questions], TruncationCounts(), limit=10**6)
            self.longest = max(map(len, golds)) + SPARE_TOKENS

    def __call__(self, model: Any) -> float:
        with rounded(model, self.score.precision):
            return self._accuracy(model)

    def _accuracy(self, model: Any) -> float:
        if self.free:
            texts = generate_texts(model, self.tokenizer, self.readings, self.longest, self.batch_tokens)
            right = [match_answer(text, str(gold), self.tokenizer) for text, gold in zip(texts, self.gold, strict=True)]
        else:
            scores = option_scores(model, self.readings, self.options, self.batch_tokens, self.score.normalize)
            right = [choose(row) == gold for row, gold in zip(scores, self.gold, strict=True)]
        return float(np.mean(right))

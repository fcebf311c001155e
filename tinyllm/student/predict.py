"""Judge a student: the likelihood of every option's full text, and greedy generation matched exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from tinyllm.models.likelihood import EncodedInput, by_length, option_likelihoods
from tinyllm.models.loaded import LoadedModel
from tinyllm.params.schema import Params
from tinyllm.records.questions import Question, input_text
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.generate import Progress, generate_texts, input_sizes, match_answer, match_option, no_number

CPU_TOKENS = 2048  # in one pass over questions or options on a processor: more no longer fit its cache


def encode_questions(
    questions: Sequence[Question], encoder: InputEncoder, prefix: str
) -> tuple[list[EncodedInput], list[list[np.ndarray]], TruncationCounts]:
    """Return each question as it is read under the answer prefix, its options' ids, and what did not fit."""
    cuts = TruncationCounts()
    inputs = encoder.questions(prefix, [(q.context, input_text(q)) for q in questions], cuts)
    longest = 10**6  # an option is never cut: it is what the student is judged on
    options = iter(encoder.targets([choice for q in questions for choice in q.choices], cuts, longest))
    return inputs, [[next(options) for _ in q.choices] for q in questions], cuts


@torch.no_grad()
def option_scores(
    model: LoadedModel,
    inputs: Sequence[EncodedInput],
    options: Sequence[Sequence[np.ndarray]],
    batch_tokens: int,
    normalize: str = "none",
    progress: Progress = lambda n: None,
    cpu_tokens: int = CPU_TOKENS,
) -> list[list[float]]:
    """Return the log-likelihood of every option of every question, in nats, end-of-sequence included.

    Questions of like length are read together, and then their options, see `option_likelihoods`.

    Args:
        normalize: `none` for the sum over an option's tokens, `tokens` for the mean
        cpu_tokens: the most in one pass on a processor, where that is fewer than batch_tokens

    Raises:
        ValueError: a score is no finite number.
    """
    model.wrapped.eval()
    if model.device.type == "cpu":
        batch_tokens = min(batch_tokens, cpu_tokens)
    sums: list[list[float]] = [[] for _ in inputs]
    for chosen in by_length(input_sizes(model, inputs), batch_tokens):
        rows = option_likelihoods(model, [inputs[i] for i in chosen], [options[i] for i in chosen], batch_tokens)
        for i, row in zip(chosen, rows, strict=True):
            if not all(map(math.isfinite, row)):
                raise no_number(model, f"scores its options {', '.join(map(str, row))}")
            sums[i] = row
        progress(len(chosen))
    if normalize == "none":
        return sums
    return [[s / len(ids) for s, ids in zip(row, texts, strict=True)] for row, texts in zip(sums, options, strict=True)]


def choose(scores: Sequence[float]) -> int:
    """Return the index of the best score; the first of equal ones."""
    return max(range(len(scores)), key=lambda i: scores[i])


def predict(
    model: LoadedModel, questions: Sequence[Question], params: Params, progress: Progress = lambda n: None
) -> list[dict]:
    """Return one prediction a question: `id`, `gold`, `choice` by likelihood, `scores`, generated `text`, `matched`.

    Without `score.texts` the last two are None.
    Of a free-text question `gold` is the gold text, `choice` None, `scores` empty, and `matched` whether the text is gold.

    Args:
        progress: told of every pass over a question, see `passes`
    """
    student, score, batch_tokens = params.student, params.score, params.runtime.batch_tokens
    inputs, options, _ = encode_questions(questions, InputEncoder(student, model), student.answer_prefix)

    def write() -> list[str]:
        return generate_texts(model, inputs, score.max_new_tokens, batch_tokens, progress)

    with rounded(model, score.precision):
        if questions[0].free:
            return [_in_free_text(model, q, text) for q, text in zip(questions, write(), strict=True)]
        scores = option_scores(model, inputs, options, batch_tokens, score.normalize, progress)
        texts: Sequence[str | None] = write() if score.texts else [None] * len(questions)
    return [
        {
            "id": question.id,
            "gold": question.answer,
            "choice": choose(values),
            "scores": [round(value, 4) for value in values],
            "text": text,
            "matched": None if text is None else match_option(text, question.choices, model.plain_text),
        }
        for question, values, text in zip(questions, scores, texts, strict=True)
    ]


def passes(questions: Sequence[Question], texts: bool) -> int:
    """How often `predict` goes over each question: for the likelihood of its options, if any, and for the text, if asked."""
    return 1 if questions[0].free else 1 + texts


def rounded(model: LoadedModel, precision: str) -> torch.autocast:
    """Return a block in which the student computes in `bf16`, or with `fp32` as it is."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16")


def _in_free_text(model: LoadedModel, question: Question, text: str) -> dict:
    matched = match_answer(text, question.gold, model.plain_text)
    return {"id": question.id, "gold": question.gold, "choice": None, "scores": [], "text": text, "matched": matched}

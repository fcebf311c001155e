"""Judge a student: the likelihood of every option's full text, and greedy generation matched exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from tinyllm.batches import Cuts, encode_input, encode_target, pad
from tinyllm.loss import IGNORED
from tinyllm.questions import Question, fold, input_text
from tinyllm.settings import Params

Progress = Callable[[int], object]  # called with the number of questions just done


def encode_questions(
    questions: Sequence[Question], tokenizer: Any, prefix: str, max_input: int
) -> tuple[list[np.ndarray], list[list[np.ndarray]], Cuts]:
    """Return each question's input ids under the answer prefix, each question's option ids, and what did not fit."""
    cuts = Cuts()
    inputs = [encode_input(tokenizer, prefix, q.context, input_text(q), max_input, cuts) for q in questions]
    longest = 10**6  # an option is never cut: it is what the student is judged on
    options = [[encode_target(tokenizer, choice, longest, cuts) for choice in q.choices] for q in questions]
    return inputs, options, cuts


@torch.no_grad()
def option_scores(
    model: Any,
    inputs: Sequence[np.ndarray],
    options: Sequence[Sequence[np.ndarray]],
    batch_tokens: int,
    normalize: str = "none",
    progress: Progress = lambda n: None,
) -> list[list[float]]:
    """Return the log-likelihood of every option of every question, in nats, end-of-sequence included.

    The encoder reads each question once; all its options go through the decoder together.

    Args:
        normalize: `none` for the sum over an option's tokens, `tokens` for the mean
    """
    model.eval()
    scores: list[list[float]] = [[] for _ in inputs]
    width = max((len(ids) for row in options for ids in row), default=1) * max((len(row) for row in options), default=1)
    for chosen in _by_length([len(ids) + width for ids in inputs], batch_tokens):
        ids, mask = _inputs([inputs[i] for i in chosen], model)
        encoded = model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state  # (B, S, D)
        repeats = torch.tensor([len(options[i]) for i in chosen], device=model.device)
        labels = pad([option for i in chosen for option in options[i]], IGNORED).to(model.device)  # (sum of options, T)
        logits = model(
            encoder_outputs=(encoded.repeat_interleave(repeats, dim=0),),
            attention_mask=mask.repeat_interleave(repeats, dim=0),
            labels=labels,
        ).logits
        values = iter(_log_likelihoods(logits, labels, normalize))
        for i in chosen:
            scores[i] = [next(values) for _ in options[i]]
        progress(len(chosen))
    return scores


def _log_likelihoods(logits: Tensor, labels: Tensor, normalize: str) -> list[float]:
    kept = labels != IGNORED
    tokens = log_softmax(logits.float(), dim=-1).gather(2, labels.clamp(min=0)[:, :, None]).squeeze(2)  # (B, T)
    sums = (tokens * kept).sum(dim=1)
    return (sums / kept.sum(dim=1) if normalize == "tokens" else sums).tolist()


@torch.no_grad()
def generate_texts(
    model: Any,
    tokenizer: Any,
    inputs: Sequence[np.ndarray],
    max_new_tokens: int,
    batch_tokens: int,
    progress: Progress = lambda n: None,
) -> list[str]:
    """Return the greedy continuation of every input, special tokens left out."""
    model.eval()
    texts = [""] * len(inputs)
    for chosen in _by_length([len(ids) + max_new_tokens for ids in inputs], batch_tokens):
        ids, mask = _inputs([inputs[i] for i in chosen], model)
        out = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1
        )
        for i, text in zip(chosen, tokenizer.batch_decode(out, skip_special_tokens=True), strict=True):
            texts[i] = fold(text)
        progress(len(chosen))
    return texts


def match_option(text: str, choices: Sequence[str], tokenizer: Any) -> int | None:
    """Return the option that a generated text equals, or None.

    An option counts as written by the tokenizer too: FLAN-T5's vocabulary has no line break or curly bracket, so that its
    student could not write such an option back exactly.
    """
    if fold(text) in choices:
        return choices.index(fold(text))
    rewritten = [fold(tokenizer.decode(tokenizer(choice)["input_ids"], skip_special_tokens=True)) for choice in choices]
    return rewritten.index(fold(text)) if rewritten.count(fold(text)) == 1 else None


def choose(scores: Sequence[float]) -> int:
    """Return the index of the best score; the first of equal ones."""
    return max(range(len(scores)), key=lambda i: scores[i])


def predict(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    params: Params,
    progress: Progress = lambda n: None,
) -> list[dict]:
    """Return one prediction a question: `id`, `gold`, `choice` by likelihood, `scores`, generated `text`, `matched`."""
    student, score, batch_tokens = params.student, params.score, params.runtime.batch_tokens
    inputs, options, _ = encode_questions(questions, tokenizer, student.answer_prefix, student.max_input_tokens)
    scores = option_scores(model, inputs, options, batch_tokens, score.normalize, progress)
    texts = generate_texts(model, tokenizer, inputs, score.max_new_tokens, batch_tokens, progress)
    return [
        {
            "id": question.id,
            "gold": question.answer,
            "choice": choose(values),
            "scores": [round(value, 4) for value in values],
            "text": text,
            "matched": match_option(text, question.choices, tokenizer),
        }
        for question, values, text in zip(questions, scores, texts, strict=True)
    ]


def _inputs(arrays: Sequence[np.ndarray], model: Any) -> tuple[Tensor, Tensor]:
    ids = pad(arrays, model.config.pad_token_id)
    lengths = torch.tensor([len(array) for array in arrays])
    mask = (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).long()
    return ids.to(model.device), mask.to(model.device)


def _by_length(sizes: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield indices in batches of like size, at most `batch_tokens` padded tokens each (one at least)."""
    batch: list[int] = []
    for i in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        if batch and sizes[i] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch

"""Judge a student: the likelihood of every option's full text, and greedy generation matched exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from tinyllm.models.likelihood import EncodedInput, extend, left_padded, prefill, right_padded, shares_prefix
from tinyllm.models.loaded import IGNORED, embedded, filled, pad, plain, soft_tokens
from tinyllm.params.schema import Params
from tinyllm.records.exact_match import matches
from tinyllm.records.questions import Question, collapse_whitespace, input_text
from tinyllm.student.encoding import InputEncoder, TruncationCounts

CPU_TOKENS = 2048  # in one pass over questions or options on a processor: more no longer fit its cache
PADDING = 0.2  # the most of a batch that is padding
Progress = Callable[[int], object]  # called with the number of questions just done


def encode_questions(
    questions: Sequence[Question], reader: InputEncoder, prefix: str
) -> tuple[list[EncodedInput], list[list[np.ndarray]], TruncationCounts]:
    """Return each question as it is read under the answer prefix, its options' ids, and what did not fit."""
    cuts = TruncationCounts()
    readings = reader.questions(prefix, [(q.context, input_text(q)) for q in questions], cuts)
    longest = 10**6  # an option is never cut: it is what the student is judged on
    found = iter(reader.targets([choice for q in questions for choice in q.choices], cuts, longest))
    return readings, [[next(found) for _ in q.choices] for q in questions], cuts


@torch.no_grad()
def option_scores(
    model: Any,
    readings: Sequence[EncodedInput],
    options: Sequence[Sequence[np.ndarray]],
    batch_tokens: int,
    normalize: str = "none",
    progress: Progress = lambda n: None,
) -> list[list[float]]:
    """Return the log-likelihood of every option of every question, in nats, end-of-sequence included.

    What stands before the options is computed once a question; then options of like length go on from there together.

    Args:
        normalize: `none` for the sum over an option's tokens, `tokens` for the mean
    """
    model.eval()
    shared = shares_prefix(model)
    if plain(model).device.type == "cpu":
        batch_tokens = min(batch_tokens, CPU_TOKENS)
    sums: list[list[float]] = [[] for _ in readings]
    for chosen in _by_length(_sizes(model, readings), batch_tokens if shared else 1):
        part, rows = [readings[i] for i in chosen], [options[i] for i in chosen]
        found = iter(_behind(model, part, rows, batch_tokens) if shared else _apart(model, part[0], rows[0]))
        for i in chosen:
            sums[i] = [next(found) for _ in options[i]]
        progress(len(chosen))
    if normalize == "none":
        return sums
    return [[s / len(ids) for s, ids in zip(row, texts, strict=True)] for row, texts in zip(sums, options, strict=True)]


def _behind(
    model: Any, readings: Sequence[EncodedInput], options: Sequence[Sequence[np.ndarray]], batch_tokens: int
) -> list[float]:
    """Return the likelihoods of all options of these questions, one question's after another's."""
    state = prefill(model, readings)
    rows = [row for row, texts in enumerate(options) for _ in texts]
    texts = [text for row in options for text in row]
    first = log_softmax(state.logits.float(), dim=-1)  # (B, V)
    found = first[rows, [int(text[0]) for text in texts]].tolist()
    more = [i for i, text in enumerate(texts) if len(text) > 1]
    for chosen in _by_length([state.mask.shape[1] + len(texts[i]) for i in more], batch_tokens):
        group = [more[i] for i in chosen]
        logits = extend(model, state, [rows[i] for i in group], [texts[i][:-1] for i in group])  # (N, T - 1, V)
        rest = _log_likelihoods(logits, pad([texts[i][1:] for i in group], IGNORED).to(logits.device))
        for i, value in zip(group, rest, strict=True):
            found[i] += value
    return found


def _apart(model: Any, reading: EncodedInput, options: Sequence[np.ndarray]) -> list[float]:
    """Return the likelihoods of one question's options, the whole of it read anew for each."""
    labels = pad(options, IGNORED).to(plain(model).device)  # (N, T)
    whole = [np.concatenate([reading.prompt, text[:-1]]) for text in options]
    given = embedded(model, pad(whole, 0).to(labels), filled(whole).to(labels))
    logits = plain(model)(**given, use_cache=False).logits[:, -labels.shape[1] :]  # (N, T, V)
    return _log_likelihoods(logits, labels)


def _log_likelihoods(logits: Tensor, labels: Tensor) -> list[float]:
    """Return each row's log-likelihood of its labels (B, T), IGNORED where padded, by logits (B, T, V)."""
    tokens = log_softmax(logits.float(), dim=-1).gather(2, labels.clamp(min=0)[:, :, None]).squeeze(2)  # (B, T)
    return (tokens * (labels != IGNORED)).sum(dim=1).tolist()


@torch.no_grad()
def generate_texts(
    model: Any,
    tokenizer: Any,
    readings: Sequence[EncodedInput],
    max_new_tokens: int,
    batch_tokens: int,
    progress: Progress = lambda n: None,
) -> list[str]:
    """Return the greedy continuation of every reading, special tokens left out."""
    model.eval()
    texts = [""] * len(readings)
    for chosen in _by_length([size + max_new_tokens for size in _sizes(model, readings)], batch_tokens):
        out = _generate(model, tokenizer, [readings[i] for i in chosen], max_new_tokens)
        for i, text in zip(chosen, tokenizer.batch_decode(out, skip_special_tokens=True), strict=True):
            texts[i] = collapse_whitespace(text)
        progress(len(chosen))
    return texts


def _generate(model: Any, tokenizer: Any, readings: Sequence[EncodedInput], max_new_tokens: int) -> Tensor:
    """Return the tokens behind each reading (B, T), filled up behind an end-of-sequence."""
    base: Any = plain(model)
    if base.config.is_encoder_decoder:
        given, prompts = right_padded(model, readings)
        given["decoder_input_ids"] = prompts
        before = prompts.shape[1]
    else:
        given = left_padded(model, readings)
        before = given["input_ids"].shape[1] if "input_ids" in given else 0  # vectors are not given back
    filler = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    out = base.generate(
        **given,
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=filler,
    )
    return out[:, before:]


def match_option(text: str, choices: Sequence[str], tokenizer: Any) -> int | None:
    """Return the option that a generated text equals, or None; an option counts as written by the tokenizer too."""
    if collapse_whitespace(text) in choices:
        return choices.index(collapse_whitespace(text))
    rewritten = [_rewritten(choice, tokenizer) for choice in choices]
    return rewritten.index(collapse_whitespace(text)) if rewritten.count(collapse_whitespace(text)) == 1 else None


def match_answer(text: str, gold: str, tokenizer: Any) -> bool:
    """Tell whether a generated text is the gold answer, which counts as written by the tokenizer too."""
    return matches(text, gold) or (bool(text) and matches(text, _rewritten(gold, tokenizer)))


def _rewritten(text: str, tokenizer: Any) -> str:
    """Return the text as the student could write it: FLAN-T5's vocabulary has no line break or curly bracket."""
    return collapse_whitespace(tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True))


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
    """Return one prediction a question: `id`, `gold`, `choice` by likelihood, `scores`, generated `text`, `matched`.

    Without `score.texts` the last two are None.
    Of a free-text question `gold` is the gold text, `choice` None, `scores` empty, and `matched` whether the text is gold.

    Args:
        progress: told of every pass over a question, see `passes`
    """
    student, score, batch_tokens = params.student, params.score, params.runtime.batch_tokens
    readings, options, _ = encode_questions(questions, InputEncoder(student, model, tokenizer), student.answer_prefix)

    def write() -> list[str]:
        return generate_texts(model, tokenizer, readings, score.max_new_tokens, batch_tokens, progress)

    with rounded(model, score.precision):
        if questions[0].free:
            return [_in_free_text(q, text, tokenizer) for q, text in zip(questions, write(), strict=True)]
        scores = option_scores(model, readings, options, batch_tokens, score.normalize, progress)
        texts: Sequence[str | None] = write() if score.texts else [None] * len(questions)
    return [
        {
            "id": question.id,
            "gold": question.answer,
            "choice": choose(values),
            "scores": [round(value, 4) for value in values],
            "text": text,
            "matched": None if text is None else match_option(text, question.choices, tokenizer),
        }
        for question, values, text in zip(questions, scores, texts, strict=True)
    ]


def passes(questions: Sequence[Question], texts: bool) -> int:
    """How often `predict` goes over each question: for the likelihood of its options, if any, and for the text, if asked."""
    return 1 if questions[0].free else 1 + texts


def rounded(model: Any, precision: str) -> torch.autocast:
    """Return a block in which the student computes in `bf16`, or with `fp32` as it is."""
    return torch.autocast(plain(model).device.type, torch.bfloat16, enabled=precision == "bf16")


def _in_free_text(question: Question, text: str, tokenizer: Any) -> dict:
    matched = match_answer(text, question.gold, tokenizer)
    return {"id": question.id, "gold": question.gold, "choice": None, "scores": [], "text": text, "matched": matched}


def _sizes(model: Any, readings: Sequence[EncodedInput]) -> list[int]:
    return [soft_tokens(model) + len(reading.source) + len(reading.prompt) for reading in readings]


def _by_length(sizes: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Yield indices in batches of like size: of at most `batch_tokens` with the padding, or of one alone."""
    batch: list[int] = []
    own = 0
    for i in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        padded = sizes[i] * (len(batch) + 1)
        if batch and (padded > batch_tokens or padded - own - sizes[i] > PADDING * padded):
            yield batch
            batch, own = [], 0
        batch.append(i)
        own += sizes[i]
    if batch:
        yield batch

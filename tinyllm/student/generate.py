"""What a student writes: greedy texts, its rationales among them, and whether a text is the answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tinyllm.models.decoding import Decoded, EndOfSequence, decode, decoder_arguments
from tinyllm.models.finite import FiniteLogits
from tinyllm.models.likelihood import EncodedInput, by_length, left_padded, right_padded
from tinyllm.models.loaded import LoadedModel
from tinyllm.models.plain_text import PlainText
from tinyllm.params.schema import Params
from tinyllm.records.exact_match import matches
from tinyllm.records.questions import Question, collapse_whitespace, input_text
from tinyllm.records.seen_text import composed
from tinyllm.student.encoding import InputEncoder, TruncationCounts

Progress = Callable[[int], object]  # called with the number of questions just done


@dataclass(frozen=True)
class Written:
    """A text that a student wrote."""

    text: str
    ended: bool  # or it was cut off at the limit


def generate_texts(
    model: LoadedModel,
    inputs: Sequence[EncodedInput],
    max_new_tokens: int,
    batch_tokens: int,
    progress: Progress = lambda n: None,
) -> list[str]:
    """Return the text of every `write_texts`."""
    return [written.text for written in write_texts(model, inputs, max_new_tokens, batch_tokens, progress)]


@torch.no_grad()
def write_texts(
    model: LoadedModel,
    inputs: Sequence[EncodedInput],
    max_new_tokens: int,
    batch_tokens: int,
    progress: Progress = lambda n: None,
) -> list[Written]:
    """Return the greedy continuation of every input, special tokens left out.

    Raises:
        ValueError: the likelihoods of a next token are no finite numbers.
    """
    model.wrapped.eval()
    found = [Written("", False)] * len(inputs)
    for chosen in by_length([size + max_new_tokens for size in input_sizes(model, inputs)], batch_tokens):
        rows = _generate(model, [inputs[i] for i in chosen], max_new_tokens)
        texts = model.tokenizer.batch_decode([row.tokens for row in rows], skip_special_tokens=True)
        for i, row, text in zip(chosen, rows, texts, strict=True):
            found[i] = Written(collapse_whitespace(text), row.ended)
        progress(len(chosen))
    return found


def write_rationales(
    model: LoadedModel,
    questions: Sequence[Question],
    teachers: Sequence[str],
    params: Params,
    progress: Progress = lambda n: None,
) -> dict[str, dict[str, str]]:
    """Return the student's greedy rationales by question id and teacher; "" where it ends at once."""
    student, batch_tokens = params.student, params.runtime.batch_tokens
    encoder = InputEncoder(student, model)
    rationales: dict[str, dict[str, str]] = {question.id: {} for question in questions}
    for teacher in teachers:
        prefix = student.rationale_prefix.replace("{teacher}", teacher)
        inputs = [encoder.question(prefix, q.context, input_text(q), TruncationCounts()) for q in questions]
        texts = generate_texts(model, inputs, student.max_target_tokens, batch_tokens, progress)
        for question, text in zip(questions, texts, strict=True):
            rationales[question.id][teacher] = text
    return rationales


def input_sizes(model: LoadedModel, inputs: Sequence[EncodedInput]) -> list[int]:
    """Return how many tokens or vectors each input has."""
    return [model.soft_tokens + len(encoded.source) + len(encoded.prompt) for encoded in inputs]


def match_option(text: str, choices: Sequence[str], plain_text: PlainText) -> int | None:
    """Return the option that a generated text equals, or None; an option counts as written by the tokenizer too."""
    said, options = collapse_whitespace(composed(text)), [composed(choice) for choice in choices]
    if said in options:
        return options.index(said)
    rewritten = [collapse_whitespace(plain_text.written(option)) for option in options]
    return rewritten.index(said) if rewritten.count(said) == 1 else None


def match_answer(text: str, gold: str, plain_text: PlainText) -> bool:
    """Tell whether a generated text is the gold answer, which counts as written by the tokenizer too."""
    return matches(text, gold) or (bool(text) and matches(text, plain_text.written(composed(gold))))


def no_number(model: LoadedModel, found: str) -> ValueError:
    """The error of a student that computes no finite numbers."""
    remedy = "set score.precision to fp32, or train it with a lower train.learning_rate"
    return ValueError(f"{model.name}: the student {found}, which is no finite number; {remedy}")


def _generate(model: LoadedModel, inputs: Sequence[EncodedInput], max_new_tokens: int) -> list[Decoded]:
    """Return what is generated behind each input, an end-of-sequence included."""

    def refuse(row: int) -> None:
        raise no_number(model, "finds its next token as likely as nan or infinity")

    if model.causal:
        arguments: dict[str, Any] = dict(left_padded(model, inputs))
    else:
        read, prompts = right_padded(model, inputs)
        arguments = decoder_arguments(model, read, prompts, range(len(inputs)))
    ending = EndOfSequence(int(model.tokenizer.eos_token_id))
    return decode(model, arguments, max_new_tokens, ending, [FiniteLogits(refuse, len(inputs))])

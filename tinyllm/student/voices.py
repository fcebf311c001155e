"""What a student says in each teacher's voice: its rationale, and the answer that follows from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from tinyllm.models.likelihood import EncodedInput, by_length
from tinyllm.models.loaded import LoadedModel
from tinyllm.models.plain_text import PlainText
from tinyllm.models.reading_once import Draws, generate_behind
from tinyllm.params.schema import Params
from tinyllm.records.exact_match import heaviest
from tinyllm.records.predictions import probabilities
from tinyllm.records.questions import Question, collapse_whitespace, input_text
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.generate import Progress, input_sizes, match_answer, no_number
from tinyllm.student.predict import choose, option_scores, rounded
from tinyllm.student.target_text import join, split


@dataclass(frozen=True)
class Voice:
    """What one teacher's prefix brings on one question."""

    rationale: str
    answer: str | None  # the option's text, or the free text; None where the student gave none
    choice: int | None  # None of free text
    probabilities: list[float]  # of the options, given the rationale; empty of free text
    tokens: int = field(default=0, compare=False)  # generated, those of all samples together
    ended: bool = field(default=False, compare=False)  # one greedy text that was not cut off


@dataclass(frozen=True)
class Sampling:
    """How many texts each voice writes: one is greedy, more are drawn."""

    samples: int = 1
    temperature: float = 1.0


@dataclass(frozen=True)
class _Row:
    """One text to be written."""

    question: int
    teacher: str
    sample: int
    encoded: EncodedInput


GREEDY = Sampling()


def ask_voices(
    model: LoadedModel,
    questions: Sequence[Question],
    teachers: Sequence[str],
    params: Params,
    progress: Progress = lambda n: None,
    limit: int | None = None,
    sampling: Sampling = GREEDY,
) -> list[dict[str, Voice]]:
    """Return what each voice says, by question and teacher.

    A voice writes its rationale and goes on to the answer. Of free text that is the answer. Of options the likeliest one
    behind the voice's own rationale is. Several samples vote within their voice: a text by majority, equal counts by the
    earlier; options by the mean of their probabilities. The rationale told is that of the first sample that agrees.

    The voices of a question are generated together. With `student.shared_encoder` the question is read once for all of them,
    since their prefixes come last. Without it a prefix stands before the question, so that each voice reads it by itself, but
    for its samples, which share it. How likely an option is behind a rationale takes one more pass over question and rationale.

    Args:
        limit: most tokens of a text; without it student.max_target_tokens
        progress: told of every text that is written

    Raises:
        ValueError: the student computes no finite numbers.
    """
    encoder = InputEncoder(params.student, model)
    rows = _rows(encoder, questions, teachers, params.student.rationale_prefix, sampling.samples)
    batch_tokens = params.runtime.batch_tokens
    model.wrapped.eval()
    with rounded(model, params.score.precision):
        written = _write(
            model, rows, questions, limit or params.student.max_target_tokens, batch_tokens, sampling, progress
        )
        texts = model.tokenizer.batch_decode(written, skip_special_tokens=True)
        said = [split(params.student.target, text.strip()) for text in texts]
        scores: list[list[float]] = [[] for _ in rows]
        if not questions[0].free:
            scores = _behind_rationales(model, encoder, rows, questions, [rationale for rationale, _ in said], params)
    asked: list[dict[str, list[Voice]]] = [{teacher: [] for teacher in teachers} for _ in questions]
    for row, tokens, (rationale, answer), values in zip(rows, written, said, scores, strict=True):
        sure = probabilities(values) if values else []
        choice = choose(sure) if sure else None
        told = answer if choice is None else questions[row.question].choices[choice]
        told = None if told is None else collapse_whitespace(told)
        ended = tokens[-1:] == [model.tokenizer.eos_token_id]
        voice = Voice(collapse_whitespace(rationale), told, choice, sure, len(tokens), ended)
        asked[row.question][row.teacher].append(voice)
    return [{teacher: agree(samples) for teacher, samples in voices.items()} for voices in asked]


def agree(samples: Sequence[Voice]) -> Voice:
    """Return what a voice says by several samples of it; one alone is what it says."""
    if len(samples) == 1:
        return samples[0]
    tokens = sum(sample.tokens for sample in samples)
    if samples[0].choice is not None:
        sure = np.mean([sample.probabilities for sample in samples], axis=0).tolist()
        choice = choose(sure)
        told = next((sample for sample in samples if sample.choice == choice), samples[0])
        answer = next((sample.answer for sample in samples if sample.choice == choice), None)
        return Voice(told.rationale, answer, choice, sure, tokens)
    first = heaviest([sample.answer for sample in samples], [1.0] * len(samples))
    told = samples[first or 0]
    return Voice(told.rationale, told.answer, None, [], tokens)


def voice_accuracies(
    asked: Sequence[dict[str, Voice]], questions: Sequence[Question], plain_text: PlainText
) -> dict[str, float]:
    """Return by teacher the share of questions that the voice has right."""
    right: dict[str, list[bool]] = {teacher: [] for teacher in asked[0]}
    for voices, question in zip(asked, questions, strict=True):
        for teacher, voice in voices.items():
            right[teacher].append(is_right(voice, question, plain_text))
    return {teacher: sum(of_voice) / len(of_voice) for teacher, of_voice in right.items()}


def longest_ended(asked: Sequence[dict[str, Voice]]) -> int:
    """Return how many tokens the longest text has that ended by itself; 0 where none did."""
    return max((voice.tokens for voices in asked for voice in voices.values() if voice.ended), default=0)


def is_right(voice: Voice, question: Question, plain_text: PlainText) -> bool:
    """Tell whether a voice's answer is the gold one: by its choice, of free text by exact match."""
    if not question.free:
        return voice.choice == question.answer
    return voice.answer is not None and match_answer(voice.answer, question.gold, plain_text)


def _rows(
    encoder: InputEncoder, questions: Sequence[Question], teachers: Sequence[str], prefix: str, samples: int
) -> list[_Row]:
    """Return the texts to be written, one question's after another's."""
    texts = [(question.context, input_text(question)) for question in questions]
    read = {t: encoder.questions(prefix.replace("{teacher}", t), texts, TruncationCounts()) for t in teachers}
    return [
        _Row(i, teacher, sample, read[teacher][i])
        for i in range(len(questions))
        for teacher in teachers
        for sample in range(samples)
    ]


@torch.no_grad()
def _write(
    model: LoadedModel,
    rows: Sequence[_Row],
    questions: Sequence[Question],
    limit: int,
    batch_tokens: int,
    sampling: Sampling,
    progress: Progress,
) -> list[list[int]]:
    """Return the tokens of each row's text."""
    sizes = input_sizes(model, [row.encoded for row in rows])
    longest: dict[int, int] = {}
    for row, size in zip(rows, sizes, strict=True):
        longest[row.question] = max(size, longest.get(row.question, 0))
    written: list[list[int]] = [[] for _ in rows]

    def refuse(row: int) -> None:
        raise no_number(model, "finds its next token as likely as nan or infinity")

    # a question's rows count as equally long, so that they stay side by side
    for chosen in by_length([longest[row.question] + limit for row in rows], batch_tokens):
        batch = [rows[i] for i in chosen]
        seeds = [json.dumps([questions[row.question].id, row.teacher, row.sample]) for row in batch]
        draws = Draws(sampling.temperature, seeds) if sampling.samples > 1 else None
        found = generate_behind(model, [row.encoded for row in batch], limit, refuse, draws)
        for i, tokens in zip(chosen, found, strict=True):
            written[i] = tokens
        progress(len(chosen))
    return written


def _behind_rationales(
    model: LoadedModel,
    encoder: InputEncoder,
    rows: Sequence[_Row],
    questions: Sequence[Question],
    rationales: Sequence[str],
    params: Params,
) -> list[list[float]]:
    """Return the scores of each row's options behind its rationale, as `option_scores` has them behind a question."""
    inputs, options = [], []
    for row, rationale in zip(rows, rationales, strict=True):
        head, behind = options_behind(encoder, params.student.target, rationale, questions[row.question].choices)
        encoded = row.encoded
        inputs.append(EncodedInput(encoded.source, np.concatenate([encoded.prompt, head])))
        options.append(behind)
    groups: dict[int, list[int]] = {}  # an encoder's model takes prompts of one length together
    for i, encoded in enumerate(inputs):
        groups.setdefault(0 if model.causal else len(encoded.prompt), []).append(i)
    scores: list[list[float]] = [[] for _ in rows]
    for group in groups.values():
        chosen = [inputs[i] for i in group], [options[i] for i in group]
        found = option_scores(model, *chosen, params.runtime.batch_tokens, params.score.normalize)
        for i, values in zip(group, found, strict=True):
            scores[i] = values
    return scores


def options_behind(
    encoder: InputEncoder, target: str, rationale: str, choices: Sequence[str]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the ids of a text up to the answer, and those of each option as it goes on.

    The text is the one that was learnt, with each option as its answer, and tokenised whole. Where the answer comes first, the
    rationale is left out: only LEAD stands before an option, and a full stop ends it.
    """
    before = rationale if target == "rationale_then_answer" else ""
    longest = 10**6  # an option is never cut: it is what the student is judged on
    lead, *whole = encoder.targets(
        [join(target, before, choice).rstrip() for choice in ("", *choices)], TruncationCounts(), longest
    )
    if target != "rationale_then_answer":
        whole = [ids[:-1] for ids in whole]  # the rationale would follow, so that nothing ends here
    size = next(
        (i for i, tokens in enumerate(zip(lead[:-1], *whole, strict=False)) if len(set(tokens)) > 1),
        min(len(lead) - 1, *(len(ids) - 1 for ids in whole)),
    )
    return lead[:size], [ids[size:] for ids in whole]

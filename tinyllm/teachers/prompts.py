"""The prompt: what a live teacher is shown of a question and its worked examples, and how it is made to fit.

A prompt is never parsed, so a question may itself contain `Question:` or `Answer:`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from tinyllm.params.schema import Prompting
from tinyllm.records.questions import Question, option_letter
from tinyllm.teachers.protocol import Prompt

TRIGGER = "Rationale:\nLet's think step by step."
CONCLUSION = "Thus, the answer is"  # tinyllm/parsing/stated_answer.py reads it
ANSWER_FORM = f"Choose one of the options. Explain your choice, then end with: {CONCLUSION} (letter)."
FREE_ANSWER_FORM = (
    f"Explain your answer, then end with: {CONCLUSION} (answer)."  # tinyllm/parsing/stated_answer.py reads it
)

Shown = tuple[Question, str | None]  # an example: a question of train, and its rationale where it has one


@dataclass(frozen=True)
class Fitted:
    """A prompt within the limit, and what was left out of it; None where even question and options are too long."""

    prompt: Prompt | None
    examples_dropped: int
    context_words_cut: int


def write_prompt(question: Question, examples: Sequence[Shown], settings: Prompting, forced: bool) -> Prompt:
    """Return the examples and then the question, in blocks with a blank line between; the teacher goes on from there.

    Forced, every block names the gold answer before the rationale, and the teacher explains it. Otherwise nothing depends on
    the question's gold answer: a sentence at the start asks for a conclusion, and each example ends with its own. An example
    without a rationale ends with its answer, so that none shows an empty rationale. The examples' rationales should agree
    with their gold answers; that is not checked here. A free-text question shows no options, and its gold answer as text.

    Source: the README of github YikunHan42/TinyLLM at 9f5bebe for the forced block. The layout of the context, the examples
    and a prompt without the gold answer is ours, since it is written nowhere.
    """
    blocks = [] if forced else [FREE_ANSWER_FORM if question.free else ANSWER_FORM]
    blocks += [_forced_example(*example) if forced else _example(*example) for example in examples]
    answer = f"\n{_answer(question)}" if forced else ""
    blocks.append(f"{_question(question)}{answer}\n{TRIGGER}")
    return Prompt(settings.instruction, "\n\n".join(blocks))


def fit_prompt(
    question: Question,
    examples: Sequence[Shown],
    settings: Prompting,
    forced: bool,
    count_tokens: Callable[[Prompt], int],
    limit: int | None,
) -> Fitted:
    """Return the prompt with as little left out as its limit allows: first examples, then the context's first words.

    The first examples go first. Question and options are never cut. Counting may be slow, so the cut is found by halving.

    Args:
        limit: tokens of the prompt alone; None is no limit.
    """
    words = [word.start() for word in re.finditer(r"\S+", question.context)]
    starts = [0, *words[1:], len(question.context)]
    most = len(examples) + len(words)

    def write(left_out: int) -> tuple[Prompt, int, int]:
        dropped = min(left_out, len(examples))
        cut = left_out - dropped
        shorter = replace(question, context=question.context[starts[cut] :])
        return write_prompt(shorter, examples[dropped:], settings, forced), dropped, cut

    @cache
    def fits(left_out: int) -> bool:
        return limit is None or count_tokens(write(left_out)[0]) <= limit

    if fits(0):
        return Fitted(*write(0))
    low, high = (1, len(examples)) if fits(len(examples)) else (len(examples) + 1, most + 1)
    left_out = bisect_left(range(high), True, lo=low, key=fits)
    return Fitted(*write(left_out)) if left_out <= most else Fitted(None, len(examples), len(words))


def _question(question: Question) -> str:
    options = [f"{option_letter(index)} {choice}" for index, choice in enumerate(question.choices)]
    listed = ["Options:", *options] if options else []
    context = [question.context] if question.context else []
    return "\n".join(["Question:", *context, question.question, *listed])


def _answer(question: Question) -> str:
    return f"Answer:\n{question.gold if question.free else question.gold_letter}"


def _forced_example(question: Question, rationale: str | None) -> str:
    block = f"{_question(question)}\n{_answer(question)}"
    return f"{block}\n{TRIGGER} {rationale}" if rationale else block


def _example(question: Question, rationale: str | None) -> str:
    short = CONCLUSION if question.free else f"{CONCLUSION} {question.gold_letter}"
    full = f"{short} {question.gold}".rstrip(" .")
    reasoning = _without_ending(rationale or "", full, short)
    if not reasoning:
        return f"{_question(question)}\nAnswer:\n{full}."
    return f"{_question(question)}\n{TRIGGER} {reasoning} {full}."


def _without_ending(rationale: str, *conclusions: str) -> str:
    """Return the rationale without the conclusion that a teacher was asked for, lest an example show it twice."""
    said = rationale.rstrip(" .")
    ending = next((conclusion for conclusion in conclusions if said.endswith(conclusion)), None)
    return said.removesuffix(ending).rstrip() if ending else rationale

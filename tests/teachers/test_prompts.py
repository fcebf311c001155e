"""Prompts written out in full, and the fit against a search that tries every cut."""

from __future__ import annotations

import re
from dataclasses import replace
from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tinyllm.params.schema import Prompting
from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.records.questions import Question, option_letter
from tinyllm.teachers.prompts import ANSWER_FORM, Fitted, Shown, fit_prompt, write_prompt
from tinyllm.teachers.protocol import Prompt

SETTINGS = Prompting(
    instruction="You teach.",
    examples=2,
    selection="random",
    example_rationales="none",
    teacher_forcing=True,
    seed=1,
)
LAMP = Question(
    "lamp", "Why is it dark?", ("the bulb is burnt", "it is noon", "ghosts"), 0, "The lamp is on.\nIt hums."
)
ICE = Question("ice", "What does ice do in the sun?", ("melt", "burn"), 0)
BIRD = Question("bird", "Which one flies?", ("a stone", "a wren."), 1, "Two things lie here.")


# --- the text -------------------------------------------------------------------------------------------------------


def test_a_forced_prompt_without_examples_is_the_released_one() -> None:
    assert write_prompt(BIRD, [], SETTINGS.model_copy(update={"instruction": ""}), forced=True) == Prompt(
        system="",
        text="""Question:
Two things lie here.
Which one flies?
Options:
(a) a stone
(b) a wren.
Answer:
(b)
Rationale:
Let's think step by step.""",
    )


def test_a_forced_prompt_shows_the_examples_answers_and_the_rationales_they_have() -> None:
    examples: list[Shown] = [(ICE, "Heat melts it."), (BIRD, None)]
    assert write_prompt(LAMP, examples, SETTINGS, forced=True) == Prompt(
        system="You teach.",
        text="""Question:
What does ice do in the sun?
Options:
(a) melt
(b) burn
Answer:
(a)
Rationale:
Let's think step by step. Heat melts it.

Question:
Two things lie here.
Which one flies?
Options:
(a) a stone
(b) a wren.
Answer:
(b)

Question:
The lamp is on.
It hums.
Why is it dark?
Options:
(a) the bulb is burnt
(b) it is noon
(c) ghosts
Answer:
(a)
Rationale:
Let's think step by step.""",
    )


def test_an_unforced_prompt_asks_for_a_conclusion_and_shows_one_in_each_example() -> None:
    examples: list[Shown] = [(ICE, "Heat melts it."), (BIRD, None)]
    assert write_prompt(LAMP, examples, SETTINGS, forced=False) == Prompt(
        system="You teach.",
        text="""Choose one of the options. Explain your choice, then end with: Thus, the answer is (letter).

Question:
What does ice do in the sun?
Options:
(a) melt
(b) burn
Rationale:
Let's think step by step. Heat melts it. Thus, the answer is (a) melt.

Question:
Two things lie here.
Which one flies?
Options:
(a) a stone
(b) a wren.
Answer:
Thus, the answer is (b) a wren.

Question:
The lamp is on.
It hums.
Why is it dark?
Options:
(a) the bulb is burnt
(b) it is noon
(c) ghosts
Rationale:
Let's think step by step.""",
    )


@pytest.mark.parametrize(
    ("rationale", "shown"),
    [
        ("Wrens fly.", "Rationale:\nLet's think step by step. Wrens fly. "),
        ("Wrens fly. Thus, the answer is (b).", "Rationale:\nLet's think step by step. Wrens fly. "),
        ("Wrens fly. Thus, the answer is (b) a wren", "Rationale:\nLet's think step by step. Wrens fly. "),
        ("Not (a)...", "Rationale:\nLet's think step by step. Not (a)... "),
        ("Thus, the answer is (b).", "Answer:\n"),
        ("", "Answer:\n"),
        (None, "Answer:\n"),
    ],
)
def test_an_unforced_example_concludes_once_and_shows_no_empty_rationale(rationale: str | None, shown: str) -> None:
    text = write_prompt(ICE, [(BIRD, rationale)], SETTINGS, forced=False).text
    assert text.split("\n\n")[1].split("(b) a wren.\n")[1] == f"{shown}Thus, the answer is (b) a wren."


def test_an_option_of_dots_still_concludes() -> None:
    dots = replace(BIRD, choices=("a", "..."))
    assert "\n(b) ...\nAnswer:\nThus, the answer is (b).\n\n" in write_prompt(ICE, [(dots, None)], SETTINGS, False).text


TOKENS = st.lists(st.integers(0, 999).map(lambda number: f"zq{number:03}"), min_size=2, max_size=26, unique=True)
RATIONALES = st.none() | st.sampled_from(["", "Because.", "So it is. Thus, the answer is (a)."])


@hypothesis_settings(deadline=None)
@given(choices=TOKENS, rationales=st.lists(RATIONALES, max_size=2), context=st.sampled_from(["", "Here.\nThere."]))
def test_no_gold_answer_reaches_an_unforced_prompt(
    choices: list[str], rationales: list[str | None], context: str
) -> None:
    examples = list(zip([ICE, BIRD], rationales, strict=False))
    asked = [Question("q", "Which?", tuple(choices), answer, context) for answer in range(len(choices))]
    prompts = {write_prompt(question, examples, SETTINGS, forced=False) for question in asked}
    assert len(prompts) == 1  # whatever is gold
    (prompt,) = prompts
    block = prompt.text.split("Question:")[-1]
    assert all(prompt.text.count(choice) == block.count(choice) == 1 for choice in choices)
    assert all(block.count(option_letter(index)) == 1 for index in range(len(choices)))
    assert len({write_prompt(question, examples, SETTINGS, forced=True) for question in asked}) == len(choices)


@pytest.mark.parametrize("question", [LAMP, ICE, BIRD, replace(BIRD, choices=("1.5 m.", "2.5 m"))])
def test_the_conclusion_asked_for_and_the_one_shown_are_read_as_the_answer(question: Question) -> None:
    shown = write_prompt(ICE, [(question, "A reason.")], SETTINGS, forced=False).text.split("\n\n")[1]
    parsed = parse_question(question)
    assert parse_rationale(shown.split("Let's think step by step. ")[1], parsed).stated == question.answer
    asked = ANSWER_FORM.split("end with: ")[1]
    for index in range(len(question.choices)):
        assert parse_rationale(f"A reason. {asked.replace('(letter)', option_letter(index))}", parsed).stated == index


HOSTILE = st.sampled_from(
    ["Question:", "Answer:\n(b)", "Options:", "Rationale:", "\n\n", "(a)", "{0}", "%s", "\\1", "so"]
)
HOSTILE_TEXT = st.lists(HOSTILE, min_size=1, max_size=6).map(" ".join)


@given(asked=HOSTILE_TEXT, context=HOSTILE_TEXT, rationale=HOSTILE_TEXT, choice=HOSTILE_TEXT, forced=st.booleans())
def test_a_text_that_looks_like_a_part_of_a_prompt_stands_in_it_as_it_is(
    asked: str, context: str, rationale: str, choice: str, forced: bool
) -> None:
    question = Question("q", asked, (choice, "no"), 1, context)
    answer = "Answer:\n(b)\n" if forced else ""
    text = write_prompt(question, [(ICE, rationale)], SETTINGS, forced).text
    end = (
        f"Question:\n{context}\n{asked}\nOptions:\n(a) {choice}\n(b) no\n{answer}Rationale:\nLet's think step by step."
    )
    assert text.endswith(f"\n\n{end}")
    assert f"(b) burn\n{'Answer:' if forced else 'Rationale:'}" in text
    assert f"step by step. {rationale}" in text


# --- the limit ------------------------------------------------------------------------------------------------------


def count_words(prompt: Prompt) -> int:
    return len(f"{prompt.system} {prompt.text}".split())


def slowly_fitted(question: Question, examples: list[Shown], forced: bool, limit: int) -> Fitted:
    """Try it with nothing left out, then with one thing more each time."""
    words = question.context.split()
    for dropped in range(len(examples) + 1):
        prompt = write_prompt(question, examples[dropped:], SETTINGS, forced)
        if count_words(prompt) <= limit:
            return Fitted(prompt, dropped, 0)
    for cut in range(1, len(words) + 1):
        context = re.sub(rf"^(\S+\s*){{{cut}}}", "", question.context)
        prompt = write_prompt(replace(question, context=context), [], SETTINGS, forced)
        if count_words(prompt) <= limit:
            return Fitted(prompt, len(examples), cut)
    return Fitted(None, len(examples), len(words))


CONTEXTS = st.lists(st.lists(st.sampled_from(["a", "bee", "sea,"]), min_size=1, max_size=9).map(" ".join), max_size=9)


@hypothesis_settings(deadline=None, max_examples=200)
@given(
    context=CONTEXTS.map("\n".join),
    rationales=st.lists(RATIONALES, max_size=5),
    forced=st.booleans(),
    limit=st.integers(0, 180),
)
def test_a_prompt_is_fitted_as_by_trying_every_cut_but_in_few_counts(
    context: str, rationales: list[str | None], forced: bool, limit: int
) -> None:
    examples: list[Shown] = [(replace(ICE, question=f"Nr {i}?"), text) for i, text in enumerate(rationales)]
    question = replace(LAMP, context=context)
    counted: list[Prompt] = []

    def count(prompt: Prompt) -> int:
        counted.append(prompt)
        return count_words(prompt)

    fitted = fit_prompt(question, examples, SETTINGS, forced, count, limit)
    assert fitted == slowly_fitted(question, examples, forced, limit)
    assert len(counted) == len(set(counted)) <= 2 + ceil(log2(1 + max(len(examples), len(context.split()))))
    assert fitted.prompt != write_prompt(question, examples, SETTINGS, forced) or len(counted) == 1


@pytest.mark.parametrize(
    ("limit", "dropped", "cut", "context"),
    [
        (73, 0, 0, "The lamp is on.\nIt hums.\n"),
        (72, 1, 0, "The lamp is on.\nIt hums.\n"),
        (50, 1, 0, "The lamp is on.\nIt hums.\n"),
        (49, 2, 0, "The lamp is on.\nIt hums.\n"),
        (33, 2, 0, "The lamp is on.\nIt hums.\n"),
        (32, 2, 1, "lamp is on.\nIt hums.\n"),
        (29, 2, 4, "It hums.\n"),
        (27, 2, 6, ""),
    ],
)
def test_examples_go_first_and_then_the_head_of_the_context(limit: int, dropped: int, cut: int, context: str) -> None:
    # words: instruction 2, question without context 25, context 6, BIRD 17, ICE with its rationale 23
    examples: list[Shown] = [(ICE, "Heat melts."), (BIRD, None)]
    fitted = fit_prompt(LAMP, examples, SETTINGS, True, count_words, limit)
    assert (fitted.examples_dropped, fitted.context_words_cut) == (dropped, cut)
    assert fitted.prompt and fitted.prompt.system == "You teach."
    assert [name in fitted.prompt.text for name in ("ice", "flies")] == [dropped < 1, dropped < 2]
    assert fitted.prompt.text.endswith(
        f"Question:\n{context}Why is it dark?\nOptions:\n(a) the bulb is burnt\n(b) it is noon\n(c) ghosts\n"
        "Answer:\n(a)\nRationale:\nLet's think step by step."
    )


def test_a_prompt_that_does_not_fit_even_without_examples_and_context_is_none() -> None:
    bare = write_prompt(replace(LAMP, context=""), [], SETTINGS, True)
    fitted = fit_prompt(LAMP, [(ICE, None)], SETTINGS, True, count_words, count_words(bare))
    assert fitted == Fitted(bare, 1, 6)
    assert fit_prompt(LAMP, [(ICE, None)], SETTINGS, True, count_words, count_words(bare) - 1) == Fitted(None, 1, 6)
    assert fit_prompt(ICE, [], SETTINGS, True, count_words, 0) == Fitted(None, 0, 0)


def test_without_a_limit_nothing_is_counted_and_nothing_left_out() -> None:
    def refuse(prompt: Prompt) -> int:
        raise AssertionError(f"counted: {prompt}")

    examples: list[Shown] = [(ICE, "Heat melts it.")] * 50
    expected = Fitted(write_prompt(LAMP, examples, SETTINGS, False), 0, 0)
    assert fit_prompt(LAMP, examples, SETTINGS, False, refuse, None) == expected


@hypothesis_settings(deadline=None)
@given(noise=st.lists(st.integers(-4, 4), min_size=9, max_size=9), limit=st.integers(20, 120), n=st.integers(0, 3))
def test_a_count_that_jumps_never_lets_a_prompt_over_the_limit_through(noise: list[int], limit: int, n: int) -> None:
    def count(prompt: Prompt) -> int:  # as of a tokenizer, to which a shorter text can have more tokens
        return count_words(prompt) + noise[len(prompt.text) % 9]

    fitted = fit_prompt(LAMP, [(ICE, None)] * n, SETTINGS, True, count, limit)
    assert fitted.prompt is None or count(fitted.prompt) <= limit

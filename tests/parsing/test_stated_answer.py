"""The option that a rationale states as its answer, as a table of toy text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.parsing.stated_answer import _ANSWER_IS, extract_answer
from tinyllm.records.questions import Question

LAMP = Question("l1", "Why does the desk lamp stay dark?", ("the bulb is burnt", "a cable", "ghosts", "sea cable"), 0)

STATED = [
    ("The answer is (b).", 1),
    ("So the answer is b.", 1),
    ("Hence the correct option is B", 1),
    ("Answer: c", 2),
    ("The correct answer is 'd'.", 3),
    ("Therefore, option (c) is correct.", 2),
    ("(c) is the right answer.", 2),
    ("Option c is the correct choice.", 2),
    ("The answer is the bulb is burnt.", 0),
    ("The correct answer is (a) the bulb is burnt.", 0),
    ("So ghosts is the answer.", 2),
    ("Hence, (c) ghosts is the answer.", 2),
    ("That points to ghosts.", 2),
    ("It is dark, a clear case of ghosts.", 2),
    ("Together they suggest a cable.", 1),
    ("The clues hum, flicker point to a cable.", 1),
    ("So the only option left is ghosts.", 2),
    ("This leaves us with option (d).", 3),
    ("The answer is sea cable.", 3),
    ("The answer is (a). No, the answer is (b).", 1),
    ("The answer is a cable, because it broke.", 1),
    ("The answer is a broken switch.", None),
    ("The answer is a cable car.", None),
    ("The answer is not (a).", None),
    ("Option (a) is not correct.", None),
    ("Option (a) is incorrect.", None),
    ("That does not point to ghosts.", None),
    ("Is (a) the answer? Is the answer (b)?", None),
    ("If the answer is (a), it is warm.", None),
    ("The answer is (a) or (b).", None),
    ("So we are left with ghosts and a cable.", None),
    ("This leaves us with A, B, and C.", None),
    ("The answer is (z).", None),
    ("A lamp needs current.", None),
    ("", None),
]

PIECES = st.sampled_from(
    [
        *(
            "The answer is ",
            " is the answer",
            "points to ",
            "left with ",
            "not ",
            "If ",
            " and ",
            " or ",
            ", ",
            ". ",
            "? ",
        ),
        *("(a)", "b.", "(z)", "option c", "ghosts", "a cable", "sea cable", '"', "\n", "\u2028", "\x00", "ß", "1. "),
    ]
)


@pytest.mark.parametrize(("text", "expected"), STATED)
def test_stated_answer_finds_the_last_option_stated_and_is_conservative(text: str, expected: int | None) -> None:
    assert extract_answer(text, LAMP) == expected


def test_an_option_that_stands_twice_is_never_stated_by_its_text() -> None:
    twice = Question("t", "Which?", ("red", "blue", "blue"), 0)
    assert extract_answer("The answer is blue.", twice) is None
    assert extract_answer("The answer is red.", twice) == 0


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=120)))
def test_any_text_states_one_of_the_options_or_none(text: str) -> None:
    assert extract_answer(text, LAMP) in (None, 0, 1, 2, 3)


LEADS = st.sampled_from(
    [
        *"answer: |the answer is |correct choice is |right option |best one |final statement |most likely answer ".split(
            "|"
        ),
        *"appropriate answer |only possible option is |point to |suggests |not indicates |a clear case of ".split("|"),
        *"cause is |left with |leaves us with |it is choice |ıt is option |ſuggests |the |an|xanswer is |not a case of ".split(
            "|"
        ),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(LEADS, max_size=8).map("".join))
def test_the_quick_look_misses_no_lead(text: str) -> None:
    slow = re.compile(_ANSWER_IS.pattern.replace("(?=[abcfilmoprs])", "", 1), _ANSWER_IS.flags)
    assert slow.pattern != _ANSWER_IS.pattern
    found, expected = ([lead.span() for lead in pattern.finditer(text)] for pattern in (_ANSWER_IS, slow))
    assert found == expected


@pytest.mark.parametrize("unit", ["\n", "1. ", "(a) is ", "the answer is ", "answer to the question ", "only "])
def test_long_hostile_text_is_read_in_linear_time(unit: str) -> None:
    start = time.process_time()
    extract_answer(unit * 4000, LAMP)
    assert time.process_time() - start < 2

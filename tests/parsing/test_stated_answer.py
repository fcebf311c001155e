"""The answer that a rationale states, an option or a text, as tables of toy text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.parsing.conclusions import OPTION_IS
from tinyllm.parsing.question import parse_question
from tinyllm.parsing.sentences import split_sentences
from tinyllm.parsing.stated_answer import extract_answer
from tinyllm.records.questions import Question


def stated(text: str, question: Question) -> int | str | None:
    return extract_answer(split_sentences(text), parse_question(question))


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
    assert stated(text, LAMP) == expected


def test_an_option_that_stands_twice_is_never_stated_by_its_text() -> None:
    twice = Question("t", "Which?", ("red", "blue", "blue"), 0)
    assert stated("The answer is blue.", twice) is None
    assert stated("The answer is red.", twice) == 0


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=120)))
def test_any_text_states_one_of_the_options_or_none(text: str) -> None:
    assert stated(text, LAMP) in (None, 0, 1, 2, 3)


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
    slow = re.compile(OPTION_IS.pattern.replace("(?=[abcefghimoprstw])", "", 1), OPTION_IS.flags)
    assert slow.pattern != OPTION_IS.pattern
    quick, expected = ([lead.span() for lead in pattern.finditer(text)] for pattern in (OPTION_IS, slow))
    assert quick == expected


@pytest.mark.parametrize("unit", ["\n", "1. ", "(a) is ", "the answer is ", "answer to the question ", "only "])
def test_long_hostile_text_about_options_is_read_in_linear_time(unit: str) -> None:
    start = time.process_time()
    stated(unit * 4000, LAMP)
    assert time.process_time() - start < 2


# --- questions without options ---------------------------------------------------------------------------------------

SUM = Question("s1", "Ann has 7 apples and gets 11 more. How many are there?", (), "18")
CAPITAL = Question("c1", "What is the capital of France?", (), "Paris, France")
BAND = Question("b1", "Who sang it?", (), "The Beatles")

NUMBERS = [  # gold is 18
    ("The answer is 18.", "18"),
    ("So the answer is $18.00.", "18"),
    ("The final answer is 18 apples.", "18"),
    ("The answer is: **18**.", "18"),
    ("Answer: 18", "18"),
    ("The answer is 7 + 11 = 18.", "18"),
    ("Therefore 18 is the answer.", "18"),
    ("First she has 7, so 18 apples is the correct answer.", "18"),
    ("The answer is 18, because 7 and 11 make 18.", "18"),
    ("The answer is 17. No, the answer is 18.", "18"),
    ("The answer is 18. Or is the answer 20?", "18"),
    ("The answer is 17.", "17"),
    ("The answer is 1,800.", "1800"),
    ("The answer is -18.", "-18"),
    ("The answer is 18.5.", "18.5"),
    ("The answer is 7 + 11 = 17 apples.", "17"),
    ("Thus 17 is the answer.", "17"),
    ("The answer is not 18.", None),
    ("If the answer is 18, there are 18.", None),
    ("Is the answer 18?", None),
    ("The answer is 17 or 18.", None),
    ("The answer is twice 9.", None),
    ("The answer is 18%.", None),
    ("The answer is 3/4.", "0.75"),
    ("The answer is 7 + 11.", None),
    ("The answer is easy.", None),
    ("7 and 11 make 18.", None),
    ("She is left with 12 apples.", None),
    ("This is the answer.", None),
    ("The answers are 18.", None),
    ("", None),
]
TEXTS = [  # of what is the capital of France
    ("The answer is Paris, France.", "Paris, France"),
    ("The answer is 'paris, france'.", "Paris, France"),
    ("Answer: Lyon.", "lyon"),
    ("The answer is Lyon, for it is large.", "lyon"),
    ("The answer is hidden somewhere in the middle of the text.", None),
    ("The answer is not Lyon.", None),
    ("The answer is Lyon or Nice.", None),
    ("Lyon is the answer.", None),
]


@pytest.mark.parametrize(("text", "expected"), NUMBERS)
def test_of_a_number_only_a_number_is_stated(text: str, expected: str | None) -> None:
    assert stated(text, SUM) == expected


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_of_a_text_a_short_text_is_stated(text: str, expected: str | None) -> None:
    assert stated(text, CAPITAL) == expected


@pytest.mark.parametrize("text", ["The answer is The Beatles.", "The answer is Beatles!", "The Beatles is the answer."])
def test_an_article_before_an_answer_is_not_looked_at(text: str) -> None:
    assert stated(text, BAND) == "The Beatles"


TEXT_PIECES = st.sampled_from(
    ["The answer is ", " is the answer", "18", "7", "1,000", "Paris", ", ", ". ", "? ", " or ", "= ", "(", "ß", "not "]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXT_PIECES, max_size=20).map("".join))
def test_a_stated_number_stands_in_the_text(text: str) -> None:
    number = stated(text, SUM)
    assert number is None or str(number) in text.replace(",", "")


@pytest.mark.parametrize("unit", ["the answer is ", "18 is the answer ", "answer to the question ", "18, ", "= "])
def test_long_hostile_text_about_a_free_answer_is_read_in_linear_time(unit: str) -> None:
    start = time.process_time()
    stated(unit * 2000, SUM)
    stated(unit * 2000, CAPITAL)
    assert time.process_time() - start < 3

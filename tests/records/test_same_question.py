"""Which questions are the same one, as a table."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.records.questions import Question
from tinyllm.records.same_question import question_key, same_text_key

SAME = [
    ("What is ice?", "what  is ICE"),
    ("well-known facts", "well known facts"),
    ("x = 3", "x=3"),
    ("12-4", "12 \u2212 4"),
    ("1,000 apples", "1000 apples"),
    ("\u201cice\u201d melts", '"ice" melts.'),
    ("It\u2019s ice", "It's ice"),
    ("\uff37\uff48\uff41\uff54", "what"),
    ("ice (cold)", "ice cold"),
    ("fill ___ in", "fill _____ in"),
    ("\u2764\ufe0f", "\u2764"),
    ("covid-19", "covid 19"),
    ("3 apples - 2 pears?", "3 apples \u2014 2 pears"),
    ("12+4=?", "12 + 4 = ?"),
    ("Ice!", "Ice"),
    ("It\u00b4s ice", "It's ice"),
    ("It\u02bcs ice", "It's ice"),
    ("an *important* word", "an important word"),
    ("1\u00bd cups", "1 1/2 cups"),
    ("x \u2260 3", "x != 3"),
    ("10\u207b\u00b3", "10^-3"),
    ("Ice\u2014a solid", "Ice \u2013 a solid"),
    ("e-mail", "e mail"),
    ("x - y", "x-y"),
    ("a 3-year plan", "a 3 year plan"),
]
OTHER = [
    ("12 + 4", "12 - 4"),
    ("12-4", "12 4"),
    ("12 \u00d7 4", "12 \u00f7 4"),
    ("12 * 4", "12 / 4"),
    ("x - 3", "x 3"),
    ("-3 + 2", "3 + 2"),
    ("7 - -3", "7 - 3"),
    ("2*(3+4)", "(2*3)+4"),
    ("5!", "5"),
    ("Is -3 odd?", "Is 3 odd?"),
    ("at -5 \u00b0C", "at 5 \u00b0C"),
    ("x != 3", "x = 3"),
    ("2**3", "2*3"),
    ("speed / time", "speed * time"),
    ("5 cm - 3 cm", "5 cm 3 cm"),
    ("x1 - x2", "x1 x2"),
    ("i++", "i--"),
    ("f(x)", "f[x]"),
    ("1\u00bd", "11/2"),
    ("1.5", "15"),
    (".5", "5"),
    ("50%", "50"),
    ("3:30", "3 30"),
    ("$5", "\u20ac5"),
    ("10\u00b2", "102"),
    ("\u221a16", "16"),
    ("5 < 3", "5 > 3"),
    ("C++", "C"),
    ("C#", "C"),
    ("\U0001f44d", "\U0001f44e"),
    ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f468\u200d\U0001f469\u200d\U0001f466"),
    ("\U0001f469\u200d\U0001f4bb", "\U0001f469\U0001f4bb"),  # at the computer, or and a computer
    ("\U0001f44d\U0001f3fd", "\U0001f44d"),  # a skin tone
    ("\U0001f3f4\U000e0067\U000e0062", "\U0001f3f4\U000e0067\U000e0063"),  # two flags
    ("\u0915\u093f", "\u0915\u0940"),  # Devanagari ki and kii
    ("\u0e01\u0e35", "\u0e01\u0e32"),  # Thai kii and kaa
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_these_are_one_question(one: str, other: str) -> None:
    assert same_text_key(one) == same_text_key(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_these_are_two_questions(one: str, other: str) -> None:
    assert same_text_key(one) != same_text_key(other)


def test_of_600_different_sums_none_is_dropped() -> None:
    draw = random.Random(0)
    sums: dict[str, None] = {}
    while len(sums) < 600:
        sums[f"What is {draw.randrange(30)} {draw.choice('+-*/')} {draw.randrange(1, 30)}?"] = None
    train = [Question(str(row), text, (), "1") for row, text in enumerate(sums)]
    assert len({question_key(question) for question in train}) == 600
    shouted = [Question("x", text.upper().replace(" ", "  "), (), "1") for text in sums]
    assert list(map(question_key, shouted)) == list(map(question_key, train))


@given(
    st.text(max_size=60) | st.text(alphabet="ab31 .-*/()[]{}!+=_,?%\u00b2\u00bd\u2013\u2014\u2019\u200d", max_size=9)
)
def test_case_white_space_and_a_closing_stop_never_matter(text: str) -> None:
    key = same_text_key(text)
    assert same_text_key(f"  {text}  ") == key
    assert same_text_key(" ".join(text.split()) + " .") == key


@pytest.mark.parametrize(
    "unit",
    [
        "-",
        "1-",
        "a-",
        "a--",
        " - ",
        "*",
        "1*",
        "a(",
        "( ",
        "1.",
        "\u00b2",
        "\u00bd",
        "\u200d",
        "a ",
        "_ ",
        "\U0001f44d",
        "1,000",
    ],
)
def test_a_long_text_has_its_key_in_linear_time(unit: str) -> None:
    start = time.process_time()
    same_text_key(unit * 20_000)
    assert time.process_time() - start < 2

"""What a rationale of a free-text question states as its answer, as a table of toy text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.parsing.stated_answer import extract_answer
from tinyllm.records.questions import Question

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
    ("The answer is 3/4.", None),
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
    assert extract_answer(text, SUM) == expected


@pytest.mark.parametrize(("text", "expected"), TEXTS)
def test_of_a_text_a_short_text_is_stated(text: str, expected: str | None) -> None:
    assert extract_answer(text, CAPITAL) == expected


@pytest.mark.parametrize("text", ["The answer is The Beatles.", "The answer is Beatles!", "The Beatles is the answer."])
def test_an_article_before_an_answer_is_not_looked_at(text: str) -> None:
    assert extract_answer(text, BAND) == "The Beatles"


PIECES = st.sampled_from(
    ["The answer is ", " is the answer", "18", "7", "1,000", "Paris", ", ", ". ", "? ", " or ", "= ", "(", "ß", "not "]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=20).map("".join))
def test_a_stated_number_stands_in_the_text(text: str) -> None:
    stated = extract_answer(text, SUM)
    assert stated is None or str(stated) in text.replace(",", "")


@pytest.mark.parametrize("unit", ["the answer is ", "18 is the answer ", "answer to the question ", "18, ", "= "])
def test_long_hostile_text_is_read_in_linear_time(unit: str) -> None:
    start = time.process_time()
    extract_answer(unit * 2000, SUM)
    extract_answer(unit * 2000, CAPITAL)
    assert time.process_time() - start < 3

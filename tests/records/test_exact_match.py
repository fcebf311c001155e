"""Which texts are one answer, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm.records.exact_match import is_number, matches, normal_answer

SAME = [
    ("18", "18."),
    ("18", "18.0"),
    ("18", " $18"),
    ("18", "+18"),
    ("-5", "-$5.00"),
    ("1,250.50", "$1250.5"),
    ("1,250,000", "1250000"),
    ("£ 3", "3"),
    ("Paris", "paris."),
    ("a  red\nball", "A red ball"),
    ("STRASSE", "straße"),
    ("...", " ... "),
    ("-18", "−18"),
    ("1000", "1e3"),
    ("1000", "1E+3"),
    ("0.5", ".5"),
    ("0.5", "50%"),
    ("0.5", "50 %"),
    ("0.5", "½"),
    ("0.75", "3/4"),
    ("1.75", "1 3/4"),
    ("2/3", "4/6"),
    ("1000.5", "1,000.50"),
    ("100000", "1,00,000"),
    ("18", "١٨"),
    ("18", "１８"),
    ("5", "5 €"),
    ("5", "₹5"),
]
DIFFERENT = [
    ("18", "-18"),
    ("18", "180"),
    ("18", "1.8"),
    ("18", "18 apples"),
    ("18", "18%"),
    ("18", "1,8"),
    ("1,250", "1,25"),
    ("18", "eighteen"),
    ("18", "0x12"),
    ("Paris", "the Paris"),
    ("50", "50%"),
    ("3/4", "3/5"),
    ("1/0", "0"),
    ("...", ""),
    (".", ""),
]


@pytest.mark.parametrize(("text", "other"), SAME)
def test_texts_that_are_one_answer_match(text: str, other: str) -> None:
    assert matches(text, other) and matches(other, text)


@pytest.mark.parametrize(("text", "other"), DIFFERENT)
def test_nothing_cleverer_is_done(text: str, other: str) -> None:
    assert not matches(text, other) and not matches(other, text)


@pytest.mark.parametrize(
    ("text", "expected"), [("$1,250.50", "1250.5"), ("-3.0", "-3"), ("+7", "7"), ("100", "100"), ("Two. ", "two")]
)
def test_the_normal_form_is_the_one_written_out(text: str, expected: str) -> None:
    assert normal_answer(text) == expected


@given(st.text(alphabet="0123456789.,$+- aZß\u00a0\n", max_size=12))
def test_the_normal_form_of_a_normal_form_is_itself_and_only_nothing_is_empty(text: str) -> None:
    once = normal_answer(text)
    assert normal_answer(once) == once and bool(once) == bool(text.split())


@given(st.integers(-(10**9), 10**9))
def test_every_whole_number_is_read_in_each_of_its_spellings(number: int) -> None:
    for spelt in (f"{number}", f"{number:,}", f"{number}.00", f"{number:,}."):
        assert is_number(spelt) and normal_answer(spelt) == str(number)


@pytest.mark.parametrize("text", ["", "18 apples", "3/0", "1,25", "1.2.3", "two", "$", "%", "1e", "1e999", "9" * 401])
def test_a_text_that_is_not_all_number_is_none(text: str) -> None:
    assert not is_number(text)

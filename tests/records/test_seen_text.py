"""Texts that a reader cannot tell apart are one text, and texts that look different are not."""

from __future__ import annotations

import unicodedata

import pytest

from tinyllm.datasets.rows import count_faults, sift
from tinyllm.records.exact_match import matches
from tinyllm.records.questions import parse_question_row
from tinyllm.records.same_question import same_text_key
from tinyllm.records.seen_text import composed, seen_text

ALIKE = [
    ("red", "red\u200b"),  # zero-width space
    ("red", "r\u200ded"),  # a joiner between Latin letters
    ("red", "re\u200cd"),
    ("red", "\ufeffred"),
    ("red", "re\u00add"),  # soft hyphen
    ("red", "\u202ered\u202c"),
    ("red", "\u2066red\u2069\u200e"),
    ("red", "red\U000e0041"),  # a tag without a flag
    ("red", "red\u2060\u034f"),
    ("red", "red\u3164"),  # Hangul filler
    ("red", "red\x01"),
    ("\u2764", "\u2764\ufe0f"),
    ("\u6f22", "\u6f22\U000e0100"),
    ("caf\u00e9", "cafe\u0301"),
    ("\ud55c", "\u1112\u1161\u11ab"),
    ("\u212b", "A\u030a"),
]
APART = [
    ("\U0001f469\u200d\U0001f4bb", "\U0001f469\U0001f4bb"),  # at the computer, or and a computer
    ("\U0001f469\U0001f3fd\u200d\U0001f4bb", "\U0001f469\U0001f3fd\U0001f4bb"),
    ("\u2764\ufe0f\u200d\U0001f525", "\u2764\ufe0f\U0001f525"),
    ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u0937"),  # Devanagari, half a letter or a ligature
    ("\u09b0\u200d\u09cd\u09af", "\u09b0\u09cd\u09af"),  # Bengali
    ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u062e"),  # Persian
    ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f", "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e007f"),
    ("x\u00b2", "x2"),
    ("\u00e9", "e"),
    ("\u00bd", "1/2"),
    ("\uff21", "A"),
    ("Red", "red"),
    ("red dog", "reddog"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_texts_that_look_alike_are_seen_as_one(one: str, other: str) -> None:
    assert seen_text(one) == seen_text(other) == composed(one)


@pytest.mark.parametrize(("one", "other"), APART)
def test_texts_that_look_different_are_seen_as_two(one: str, other: str) -> None:
    assert seen_text(one) != seen_text(other)


def row(one: str, other: str, answer: object) -> dict:
    return {"id": "1", "question": "Which?", "choices": [one, "blue", other], "answer": answer}


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_a_gold_option_that_looks_like_another_is_a_bad_row(one: str, other: str) -> None:
    for answer, gold, double in ((0, one, other), (2, other, one), (other, other, one)):
        with pytest.raises(ValueError) as error:
            parse_question_row(row(one, other, answer), "train.jsonl:7")
        told = f"{gold!a} looks like the choice {double!a}: it stands among the choices more than once"
        assert str(error.value) == f"train.jsonl:7: the answer {told}"
    questions, bad = sift([(1, row(one, other, 2)), (2, row(one, other, 1))], "train.jsonl")
    assert list(questions) == [2]  # its gold option is another
    assert count_faults(bad) == {"answer_twice": 1}


@pytest.mark.parametrize(("one", "other"), APART)
def test_a_gold_option_that_looks_different_is_kept(one: str, other: str) -> None:
    for answer in (0, 2):
        assert parse_question_row(row(one, other, answer), "row").gold == (one, "", other)[answer]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_an_answer_finds_the_option_that_it_looks_like(one: str, other: str) -> None:
    made = {"id": "1", "question": "Which?", "choices": ["blue", one], "answer": other}
    assert parse_question_row(made, "row").answer == 1


@pytest.mark.parametrize("nothing", ["\u200b", "\ufeff", "\u00ad \u200d", "\u3164"])
def test_what_is_not_seen_is_empty(nothing: str) -> None:
    with pytest.raises(ValueError, match=r"^row: choice 2 is empty$"):
        parse_question_row(row("red", nothing, 0), "row")
    with pytest.raises(ValueError, match=r"^row: the question is empty$"):
        parse_question_row({"id": "1", "question": nothing, "answer": "x"}, "row")
    with pytest.raises(ValueError, match=r"^row: answer .* allowed then is a text that is not empty, or a number$"):
        parse_question_row({"id": "1", "question": "Which?", "answer": nothing}, "row")


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_free_text_that_looks_alike_is_one_answer(one: str, other: str) -> None:
    assert matches(one, other) and matches(other, one)


@pytest.mark.parametrize(("one", "other"), [pair for pair in APART if pair != ("Red", "red")])
def test_free_text_that_looks_different_is_not(one: str, other: str) -> None:
    assert not matches(one, other) or one == "\u00bd"  # numbers are compared by value


@pytest.mark.parametrize("word", ["caf\u00e9", "\u00c5ngstr\u00f6m", "\ud55c\uad6d\uc5b4"])
def test_a_question_in_another_form_of_its_letters_is_the_same_one(word: str) -> None:

    assert same_text_key(f"Is it {word}?") == same_text_key(unicodedata.normalize("NFD", f"Is it {word}?"))

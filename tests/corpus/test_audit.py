"""The faults of cleaned rationales, as a table of toy text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.corpus.audit import find_fault
from tinyllm.params.schema import Audit
from tinyllm.parsing.cleaning import split_sentences
from tinyllm.parsing.question import parse_question
from tinyllm.parsing.rationale import parse_sentences
from tinyllm.records.questions import Question

LIMITS = Audit(min_words=3, max_words=40, min_distinct=0.5, drop_contradictions=True)
LAMP = Question("l1", "Why does the desk lamp stay dark?", ("the bulb is burnt", "a cable", "ghosts", "sea cable"), 0)
PLANT = Question(
    "p1", "Which ailment do the clues point to?", ("overwatering", "darkness", "chill"), 0, "Its tray is full."
)


def fault(text: str, question: Question, limits: Audit = LIMITS) -> str | None:
    """The fault of a text that is taken as clean."""
    parsed = parse_question(question)
    return find_fault(parse_sentences(split_sentences(text), parsed), parsed, limits)


FAULTS = [
    ("It died.", "too_short"),
    ("", "too_short"),
    ("12 + 30 = 42 and 42 + 8 = 50, 50 + 1 = 51.", "not_prose"),
    ("# # # # # # # # # #", "not_prose"),
    ("lamp lamp lamp lamp lamp lamp lamp lamp lamp", "repetitive"),
    (" ".join(f"The lamp of house number {number} has a tale." for number in range(6)), "too_long"),
    ("Why does the desk lamp stay dark?", "copies_question"),
    ("(a) the bulb is burnt (b) a cable (c) ghosts.", "copies_question"),
    ("A lamp needs current, which the", "unfinished"),
    ("The bulb is burnt.", "copies_question"),
    ("Zebras graze in the open savanna.", "off_topic"),
    ("Ghosts haunt every lamp. The answer is (c).", "states_other_option"),
    ("Burnt wire carries no current. The answer is (a).", None),
    ("Without a wire inside, a bulb gives no light.", None),
]


@pytest.mark.parametrize(("text", "expected"), FAULTS)
def test_fault_names_what_is_wrong(text: str, expected: str | None) -> None:
    assert fault(text, LAMP) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The clue brimming points to overwatering.",
        "The clues brimming, jugfuls point to overwatering.",
        "The soil stays wet for weeks, which points to overwatering.",
    ],
)
def test_rationales_of_the_offline_teachers_pass(text: str) -> None:
    assert fault(text, PLANT) is None


def test_contradictions_pass_where_the_limits_allow_them() -> None:
    kept = Audit(min_words=3, max_words=40, min_distinct=0.5, drop_contradictions=False)
    assert fault("Ghosts haunt every lamp. The answer is (c).", LAMP, kept) is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_can_be_judged(text: str) -> None:
    fault(text, LAMP)


@pytest.mark.parametrize("unit", ["a\n", "1. ", "Q ", "(a) is ", "the answer is ", "a cable "])
def test_long_hostile_text_is_judged_in_linear_time(unit: str) -> None:
    start = time.process_time()
    fault(unit * 4000, LAMP, Audit(min_words=0, max_words=10**6, min_distinct=0.0, drop_contradictions=True))
    assert time.process_time() - start < 2

"""What is parsed of a question and of a rationale, once for everyone."""

from __future__ import annotations

from tinyllm.parsing import ParsedQuestion, ParsedRationale, parse_question, parse_rationale
from tinyllm.records.questions import Question

LAMP = Question("l1", "Why is the lamp dark?", ("A burnt bulb.", "ghosts"), 0, "It is night.")
SUM = Question("s1", "What are 7 and 11?", (), "18.00")


def test_of_a_question_its_options_are_kept_bare_and_normalised() -> None:
    assert parse_question(LAMP) == ParsedQuestion(
        question=LAMP,
        answers=("burnt bulb", "ghosts"),
        reach=2 * len("burnt bulb") + 100,
        shown=("why is the lamp dark", "a burnt bulb", "ghosts"),
        words=frozenset(["night", "lamp", "dark", "burnt", "bulb", "ghost"]),
    )


def test_of_a_free_text_question_the_gold_text_is_kept_as_it_is_compared() -> None:
    assert parse_question(SUM) == ParsedQuestion(
        question=SUM,
        answers=("18",),
        reach=2 * len("18.00") + 100,
        shown=("what are 7 and 11",),
        words=frozenset(["11"]),
    )


def test_a_rationale_is_cleaned_and_then_parsed() -> None:
    written = "Let's think step by step.\nA burnt bulb gives no light. The answer is (a).\nQuestion:\nWhat"
    assert parse_rationale(written, parse_question(LAMP)) == ParsedRationale(
        text="A burnt bulb gives no light. The answer is (a).",
        sentences=("A burnt bulb gives no light.", "The answer is (a)."),
        words=frozenset(["burnt", "bulb", "give", "light"]),
        stated=0,
    )


def test_of_nothing_remains_nothing() -> None:
    assert parse_rationale("Question:\nWhat", parse_question(LAMP)) == ParsedRationale("", (), frozenset(), None)

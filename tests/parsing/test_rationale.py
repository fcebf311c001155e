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
        tokens=frozenset("it is night why the lamp dark a burnt bulb ghosts".split()),
    )


def test_of_a_free_text_question_the_gold_text_is_kept_as_it_is_compared() -> None:
    assert parse_question(SUM) == ParsedQuestion(
        question=SUM,
        answers=("18",),
        reach=2 * len("18.00") + 100,
        shown=("what are 7 and 11",),
        words=frozenset(["11"]),
        tokens=frozenset("what are 7 and 11".split()),
        numeric=True,
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
    assert parse_rationale("Question:\nWhat", parse_question(LAMP)) == ParsedRationale(
        "", (), frozenset(), None, finished=False
    )


THOUGHT = (
    "<think>\nA bulb can burn. So it is (a).\n</think>\n\nA burnt bulb gives no light. The answer is (a).<|im_end|>"
)


def test_of_a_thinking_model_what_it_says_is_the_rationale_or_by_choice_what_it_thought() -> None:
    said = parse_rationale(THOUGHT, parse_question(LAMP))
    thought = parse_rationale(THOUGHT, parse_question(LAMP), thinking="keep")
    assert (said.text, said.stated) == ("A burnt bulb gives no light. The answer is (a).", 0)
    assert (thought.text, thought.stated) == ("A bulb can burn. So it is (a).", 0)


def test_thinking_without_an_end_is_no_rationale_unless_it_is_kept() -> None:
    cut = "<think>\nA bulb can burn. A wire can"
    assert parse_rationale(cut, parse_question(LAMP)) == ParsedRationale(
        "", (), frozenset(), None, False, only_thinking=True
    )
    assert parse_rationale(cut, parse_question(LAMP), thinking="keep").text == "A bulb can burn."


def test_a_model_that_never_thinks_has_one_rationale_either_way() -> None:
    for thinking in ("drop", "keep"):
        assert parse_rationale("A burnt bulb is dark.", parse_question(LAMP), thinking).text == "A burnt bulb is dark."  # type: ignore[arg-type]


def test_a_conclusion_stays_without_a_full_stop_and_a_cut_sentence_does_not() -> None:
    whole = parse_rationale("A burnt bulb gives no light.\nThus, the answer is (a)", parse_question(LAMP))
    cut = parse_rationale("The answer is (a). A burnt bulb gives no", parse_question(LAMP))
    assert (whole.text, whole.stated, whole.finished) == (
        "A burnt bulb gives no light. Thus, the answer is (a)",
        0,
        True,
    )
    assert (cut.text, cut.stated, cut.finished) == ("The answer is (a).", 0, True)
    assert not parse_rationale("A burnt bulb gives no", parse_question(LAMP)).finished

"""What is learnt under a teacher's prefix, as text, and what is read from such a text again."""

from __future__ import annotations

import pytest

from tinyllm.student.target_text import join, split, without_conclusion


@pytest.mark.parametrize(
    ("target", "rationale", "answer", "text"),
    [
        ("multitask", "We see it. So the answer is red.", "red", "We see it. So the answer is red."),
        ("rationale_then_answer", "We see it.", "red", "We see it. The answer is red"),
        ("rationale_then_answer", "3 + 4 = 7", "7", "3 + 4 = 7 The answer is 7"),
        (
            "rationale_then_answer",
            "We see it. So the answer is red.",
            "a red dog",
            "We see it. The answer is a red dog",
        ),
        ("rationale_then_answer", "The answer is red.", "red", "The answer is red"),
        ("rationale_then_answer", "", "red", "The answer is red"),
        ("answer_then_rationale", "We see it.", "red", "The answer is red. We see it."),
        ("answer_then_rationale", "We see it.", "It is red.", "The answer is It is red. We see it."),
        ("answer_then_rationale", "So the answer is red.", "red", "The answer is red. So the answer is red."),
        ("answer_then_rationale", "", "red", "The answer is red."),
    ],
)
def test_the_text_under_a_teachers_prefix(target: str, rationale: str, answer: str, text: str) -> None:
    assert join(target, rationale, answer) == text


@pytest.mark.parametrize(
    ("rationale", "kept"),
    [
        ("We see it. So the answer is red.", "We see it."),
        ("We see it!  Therefore, the correct answer is (b) 3.5 kg", "We see it!"),
        ("We see it.\nthus the Final answer is red ", "We see it."),
        ("We see it. Hence the best answer is red!", "We see it."),
        ("3 + 4 = 7\nThe answer is 7.", "3 + 4 = 7"),
        ("The right answer is red", ""),
        ("The answer is red. It was clear.", "The answer is red. It was clear."),  # not the last sentence
        ("We see that the answer is red.", "We see that the answer is red."),  # not a sentence of its own
        ("We see it, so the answer is red.", "We see it, so the answer is red."),
        ("We see it. The answers are red.", "We see it. The answers are red."),
        ("We see it. The answer isn't blue.", "We see it. The answer isn't blue."),
        ("", ""),
    ],
)
def test_a_last_sentence_that_concludes_is_left_out(rationale: str, kept: str) -> None:
    assert without_conclusion(rationale) == kept


@pytest.mark.parametrize(
    ("target", "text", "rationale", "answer"),
    [
        ("multitask", "We see it. The answer is red", "We see it. The answer is red", None),
        ("rationale_then_answer", "We see it. The answer is red", "We see it.", "red"),
        ("rationale_then_answer", "The answer is red. The answer is blue", "The answer is red.", "blue"),
        ("rationale_then_answer", "we see it. the answer is red", "we see it.", "red"),  # a vocabulary without capitals
        ("rationale_then_answer", "The answer is 3.5 kg", "", "3.5 kg"),
        ("rationale_then_answer", "We see it. The answer is", "We see it.", None),
        ("rationale_then_answer", "We see it. The answer isn't red", "We see it. The answer isn't red", None),
        ("rationale_then_answer", "We see it.", "We see it.", None),
        ("rationale_then_answer", "", "", None),
        ("answer_then_rationale", "The answer is red. We see it. So.", "We see it. So.", "red"),
        ("answer_then_rationale", "The answer is 3.5 kg. We see it.", "We see it.", "3.5 kg"),
        ("answer_then_rationale", "The answer is red", "", "red"),
        ("answer_then_rationale", "The answer is", "", None),
        ("answer_then_rationale", "We see it. The answer is red.", "We see it. The answer is red.", None),
    ],
)
def test_a_written_text_is_taken_apart(target: str, text: str, rationale: str, answer: str | None) -> None:
    assert split(target, text) == (rationale, answer)


@pytest.mark.parametrize("target", ["rationale_then_answer", "answer_then_rationale"])
def test_what_was_joined_comes_apart_again(target: str) -> None:
    for rationale in ("We see it. It is so.", "3 + 4 = 7", "The answer is near. Look."):
        for answer in ("red", "a red dog", "3.5", "-1"):
            assert split(target, join(target, rationale, answer)) == (rationale, answer)

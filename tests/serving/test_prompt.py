"""A prompt's text: the forms in which students and teachers are asked lead back to the question."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.toys import toy_params, toy_questions
from tinyllm.params.load import load_params
from tinyllm.records.questions import Question, input_text
from tinyllm.serving.prompt import ANSWER, FOR_A_LETTER, OPTIONS, TRIGGER, Read, conclusion, read_prompt
from tinyllm.teachers.prompts import CONCLUSION, write_prompt
from tinyllm.teachers.prompts import TRIGGER as TEACHERS_TRIGGER
from tinyllm.teachers.server.option_letters import ASK, BEGIN

STUDENT = toy_params(student__response="\nAnswer:").student
HARD = Question(
    "h",
    "Options: which one (a) or (b)? Answer:",
    ("Question: none", "(b) two", "A) it"),
    1,
    "Question: is it?\nOptions:\n(a) no option\nIt is late.",
)
FREE = Question("f", "What is 2 + 2?", (), "4", "Answer:\nthe sum is even.\nSo it goes.")


def read(text: str) -> Read:
    return read_prompt(text, STUDENT, ("ann", "annika"))


def same(found: Read, question: Question) -> bool:
    return (found.question, found.choices, found.context) == (question.question, question.choices, question.context)


@pytest.mark.parametrize("question", [*toy_questions(4), HARD, FREE])
@pytest.mark.parametrize("response", ["", "\nAnswer:"])
@pytest.mark.parametrize(
    ("prefix", "voice"),
    [("", None), ("predict: ", None), ("explain as ann: ", "ann"), ("explain as annika: ", "annika")],
)
def test_what_a_student_reads_is_read_back(question: Question, response: str, prefix: str, voice: str | None) -> None:
    whole = f"{question.context}\n{input_text(question)}" if question.context else input_text(question)
    if not response and whole.endswith("Answer:"):
        return  # its last word is the response
    found = read(prefix + whole + response)
    assert same(found, question) and found.voice == voice and not found.concluded and not found.letter


@pytest.mark.parametrize("question", [*toy_questions(4), HARD, FREE])
@pytest.mark.parametrize("forced", [True, False])
@pytest.mark.parametrize("shown", [0, 2])
def test_what_a_teacher_is_shown_is_read_back_without_the_gold_answer(
    question: Question, forced: bool, shown: int
) -> None:
    settings = load_params().prompt
    examples = [(example, "It says so." if i else None) for i, example in enumerate(toy_questions(shown, 5))]
    text = write_prompt(question, examples, settings, forced).text
    found = read(text)
    assert same(found, question) and found.concluded is not forced and found.voice is None
    if question.choices:
        other = replace(question, answer=0)
        assert read(write_prompt(other, examples, settings, forced).text) == found
        for ending in (ASK, BEGIN):
            found = read(write_prompt(question, examples, settings, False).text + ending)
            assert same(found, question) and found.letter and not found.concluded


def test_the_words_are_those_of_the_teachers() -> None:
    assert TRIGGER == "\n" + TEACHERS_TRIGGER and FOR_A_LETTER == (ASK, BEGIN)
    text = write_prompt(toy_questions(2)[1], [], load_params().prompt, True).text
    assert f"\n{OPTIONS}\n(a) " in text and f"\n{ANSWER}\n(" in text
    assert conclusion(1, "red") == f"{CONCLUSION} (b)." and conclusion(None, "4") == f"{CONCLUSION} 4."


@pytest.mark.parametrize(
    ("text", "question", "choices", "context"),
    [
        ("Which?\nA. red\nB. blue", "Which?", ("red", "blue"), ""),
        (
            "It is late.\r\n\r\nWhich?\r\n\r\nChoices:\r\nA) red\r\nB) blue\r\n",
            "Which?",
            ("red", "blue"),
            "It is late.",
        ),
        ("Which?\n(a) red\n(b) blue\nAnswer:", "Which?", ("red", "blue"), ""),
        ("Which?\n(a) red", "(a) red", (), "Which?"),  # one option is none
        ("Which?\n(b) red\n(c) blue", "(c) blue", (), "Which?\n(b) red"),
        ("(a) red\n(b) blue", "(b) blue", (), "(a) red"),  # no question
        ("Hello", "Hello", (), ""),
        ("", "", (), ""),
    ],
)
def test_other_prompts_are_read_as_far_as_they_can_be(
    text: str, question: str, choices: tuple[str, ...], context: str
) -> None:
    assert (read(text).question, read(text).choices, read(text).context) == (question, choices, context)

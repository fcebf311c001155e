"""Cleaning, as a table of toy text, and what holds for any text."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.parsing.cleaning import clean, clean_sentences
from tinyllm.parsing.sentences import _BREAK, split_sentences

CLEANED = [
    ("Glass is hard.", "Glass is hard."),
    ("  Glass\tis \n\n hard.  ", "Glass is hard."),
    ("Let's think step by step. Glass is hard.", "Glass is hard."),
    ("Let’s think step by step:\nGlass is hard.", "Glass is hard."),
    ("let s think step-by-step\nGlass is hard.", "Glass is hard."),
    ("Let's think step by step.➖\nGlass is hard.", "Glass is hard."),
    ("Let's think step by step. Hinweis:\nGlass is hard.", "Glass is hard."),
    ("Let's think step by step. Hinweis: Denken Sie Schritt für Schritt.\nGlass is hard.", "Glass is hard."),
    ("Let's think step by step. sierp is hard. Wood is soft.", "Wood is soft."),
    ("Let's think step by step. nobody eats glass.", "nobody eats glass."),
    ("Let's think step by step. Hint: Let's think step by step. Glass is hard.", "Glass is hard."),
    ("Glass is hard.\nSolution: Let's think step by step.\nIt is.", "Glass is hard. It is."),
    ("Glass is hard.\nQuestion:\nWhat is soft?", "Glass is hard."),
    ("Glass is hard.\nQ: What is soft?\nA: Wood.", "Glass is hard."),
    ("Glass is hard.\nQ. 12 What is soft?", "Glass is hard."),
    ("Glass is hard.\n### Question 3: What is soft?", "Glass is hard."),
    ("Glass is hard.\n**Question 3:** What is soft?", "Glass is hard."),
    ("Glass is hard. Answer Choices: (a) wood", "Glass is hard."),
    ("Glass is hard.\nOptions:\n(a) wood", "Glass is hard."),
    ("Glass is hard.\n# Solution\nWood.", "Glass is hard."),
    ("Glass is hard.\n# 17\n# Chapter Two\nWood is soft.", "Glass is hard."),
    ("Glass is hard.\n```python\nprint(1)\n```", "Glass is hard."),
    ("Glass is hard.\n\\begin{code}\nx\n\\end{code}", "Glass is hard."),
    ("Glass is hard.\nComment: Why so?", "Glass is hard."),
    ("# Overview\nGlass is hard.", "Glass is hard."),
    ("### Step 1: Glass is hard.\n### Step 2: Wood is soft.", "Step 1: Glass is hard. Step 2: Wood is soft."),
    ("Question:\nWhat is soft?", ""),
    ("Let's think step by step.", ""),
    ("", ""),
    ("Glass is hard. Wood is so", "Glass is hard."),
    ("Glass is hard. Wood is so\nand then it", "Glass is hard."),
    ("Glass is hard, wood is so", "Glass is hard, wood is so"),
    ("1. Glass is hard.\n2. Wood is so", "1. Glass is hard."),
    ("Glass is hard.\nSo the answer is (b)\nQuestion:\nWhat", "Glass is hard. So the answer is (b)."),
    ("Glass is hard.\nSo the answer is:\nQuestion:\nWhat", "Glass is hard."),
    ('He said "glass is hard." And then', 'He said "glass is hard."'),
    ("Glass is hard. Glass is hard. Glass is hard.", "Glass is hard."),
    ("Glass is hard. Wood is soft. Glass is hard. Wood is soft. Glass", "Glass is hard. Wood is soft."),
    ("1. Glass is hard.\n2. Glass is hard.", "1. Glass is hard."),
    ("(a) No. (b) No. (c) Yes.", "(a) No. (b) No. (c) Yes."),
    ("Wood? No. Stone? No. Glass is.", "Wood? No. Stone? No. Glass is."),
    ("Steel vs. glass is no contest. It won", "Steel vs. glass is no contest."),
    ("It weighs 3.5 kg. It sinks.", "It weighs 3.5 kg. It sinks."),
    ("The question: is glass hard? It is.", "The question: is glass hard? It is."),
]

PIECES = st.sampled_from(
    [
        *(
            "Let's think step by step. ",
            "Question:",
            "Q.",
            "Hinweis:",
            "sierp",
            "Schritt ",
            "\n",
            "\n\n",
            " ",
            ". ",
            "? ",
        ),
        *(
            "# ",
            "### 3",
            "1. ",
            "(b) ",
            "Answer:",
            "Answer Choices:",
            "```",
            "\\begin{",
            "vs. ",
            "e.g.",
            "Explanation:",
        ),
        *('"', "…", "➖", "Glass is hard", "wood", "The answer is (a)", "Yes", "\u2028", "\x00", "ß", "Step 2:"),
    ]
)


@pytest.mark.parametrize(("text", "expected"), CLEANED)
def test_clean_takes_off_what_is_not_about_the_question(text: str, expected: str) -> None:
    assert clean(text) == expected


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=120)))
def test_cleaning_twice_changes_nothing_and_never_lengthens(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert len(once) <= len(text)
    assert once == " ".join(once.split())
    assert clean_sentences(text) == split_sentences(once)


@pytest.mark.parametrize("unit", ["\n", "# ", "a\n", "1. ", "Q ", "(a) is ", "Let's think step by step. "])
def test_long_hostile_text_is_cleaned_in_linear_time(unit: str) -> None:
    start = time.process_time()
    clean(unit * 4000)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "text",
    [
        "The clue webs points to pests.",
        "The clues brimming, jugfuls point to overwatering.",
        "The soil stays wet for weeks, which points to too much water.",
        "Its leaves are yellow: a clear case of too much water.",
    ],
)
def test_short_plain_rationales_stay_as_they_are(text: str) -> None:
    assert clean(text) == text


def test_split_sentences_keeps_labels_and_abbreviations_with_what_follows() -> None:
    assert split_sentences("1. One is e.g. here. (b) Two\nThree! 4.") == (
        "1. One is e.g. here.",
        "(b) Two",
        "Three!",
        "4.",
    )
    assert clean("1. One is e.g. here. (b) Two\nThree! 4.") == "1. One is e.g. here. (b) Two Three!"


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(alphabet="ab .!?…\"')*_\n\t\u2028", max_size=40)))
def test_a_sentence_ends_behind_a_stop_and_white_space_or_at_a_line_break(text: str) -> None:
    plain = re.compile(r"(?<=[.!?…])[\"'”’)\]*_]*\s+|\n+")  # the rule as one would write it, tried at every character
    assert [end.end() for end in _BREAK.finditer(text)] == [end.end() for end in plain.finditer(text)]


@pytest.mark.parametrize("word", "vs e.g i.e al approx dr mr mrs ms mt st fig".split())
def test_an_abbreviation_ends_no_sentence_however_long_it_is(word: str) -> None:
    for before in ("", "Wood, glass and stone ("):
        assert split_sentences(f"{before}{word}. It is.") == (f"{before}{word}. It is.",)
    assert split_sentences(f"Woodx{word}. It is.") == (f"Woodx{word}.", "It is.")

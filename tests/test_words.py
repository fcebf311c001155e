"""The words of the pages: few sentences are long, and no word makes a reader guess.

Code, tables, headings and the targets of links do not count.
"""

from __future__ import annotations

import re

import pytest

from tests.test_docs import PAGES, ROOT

LONG = 25  # words; a sentence of more is hard to read
MOST_LONG = {"README.md": 0.10, "docs/results.md": 0.20}  # share of a page's sentences that may be long
MOST_LONG_OF_OTHERS = 0.15
MOST_LINES = {"README.md": 160}
UNWANTED = re.compile(r"\b(?:tells|bears|stands|beside|otherwise)\b", re.IGNORECASE)
BLOCK = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
END = re.compile(r"([.?!][)\"*_]*)\s+(?=[(\"*_]*[A-Z\d])")
SHORTENED = re.compile(r"\b(e\.g|i\.e|et al|vs|cf)\.")


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs and the items of lists, each on one line, without code blocks, tables and headings."""
    found, current = [], ""
    for line in [*BLOCK.sub("", text).splitlines(), ""]:
        if not line.strip() or line.startswith(("|", "#")) or ITEM.match(line):
            found.append(current)
            current = ""
        if line.strip() and not line.startswith(("|", "#")):
            current = f"{current} {(line if current else ITEM.sub('', line, count=1)).strip()}".strip()
    return [paragraph for paragraph in found if paragraph]


def sentences(text: str) -> list[str]:
    """Return the sentences of a page; a code span is one word, a link is its text."""
    found = []
    for paragraph in paragraphs(text):
        spoken = re.sub(r"`[^`]+`", "Code", paragraph)
        spoken = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", spoken)
        found += END.sub(r"\1\n", SHORTENED.sub(r"\1", spoken)).split("\n")
    return found


def words(sentence: str) -> int:
    return sum(any(map(str.isalnum, part)) for part in sentence.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One fact. Another one? Yes!", ["One fact.", "Another one?", "Yes!"]),
        ("One line\nand the next. End.", ["One line and the next.", "End."]),
        ("# A heading. No sentence\n\nText.\n", ["Text."]),
        ("Before:\n```\ncode. Not read.\n```\nAfter.", ["Before:", "After."]),
        ("| a | table. Not read |\n|---|---|\nText.", ["Text."]),
        ("- One item,\n  on two lines\n- The next. And more.\n", ["One item, on two lines", "The next.", "And more."]),
        ("1. First\n2. Then", ["First", "Then"]),
        ("1. Type:\n\n   ```\n   make lint\n   ```\n2. Done.", ["Type:", "Done."]),
        ("See [the page](docs/a.md#b). Done.", ["See the page.", "Done."]),
        ("`dvc repro` runs it. `make demo` too.", ["Code runs it.", "Code too."]),
        (
            "It is 3.5 points (1.2 to 4.0) with params.yaml as is.",
            ["It is 3.5 points (1.2 to 4.0) with params.yaml as is."],
        ),
        ("Ethayarajh et al. 2022 say so, e.g. Here.", ["Ethayarajh et al 2022 say so, e.g Here."]),
        ("**Bold.** Then (in brackets.) More.", ["**Bold.**", "Then (in brackets.)", "More."]),
    ],
)
def test_a_page_is_split_into_its_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"), [("It costs 3.5 points, or - at most - 4.", 8), ("Code runs it.", 3), ("", 0)]
)
def test_marks_are_no_words(sentence: str, expected: int) -> None:
    assert words(sentence) == expected


@pytest.mark.parametrize("page", PAGES)
def test_few_sentences_of_a_page_are_long(page: str) -> None:
    found = sentences((ROOT / page).read_text(encoding="utf-8"))
    long = [f"{words(sentence)}: {sentence}" for sentence in found if words(sentence) > LONG]
    assert len(long) < MOST_LONG.get(page, MOST_LONG_OF_OTHERS) * len(found), "\n".join([f"of {len(found)}:", *long])


@pytest.mark.parametrize("page", PAGES)
def test_a_page_uses_plain_words(page: str) -> None:
    text = re.sub(r"`[^`\n]+`", "", BLOCK.sub("", (ROOT / page).read_text(encoding="utf-8")))
    assert UNWANTED.findall(text) == []


@pytest.mark.parametrize("page", MOST_LINES)
def test_a_first_page_is_short(page: str) -> None:
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= MOST_LINES[page]

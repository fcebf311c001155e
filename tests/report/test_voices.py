"""The report of students that were asked in voices: the table, and what each voice said to a question."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, chromium
from tests.report.test_page import ask, put
from tests.runs import PREDICTIONS, SCORE, toy_results
from tinyllm.report.contents import gather, voices
from tinyllm.report.figures import draw
from tinyllm.report.page import render
from tinyllm.report.run_files import Results


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


SAID = {  # of each choice, by teacher
    "ann": {"rationale": "Rain <b>falls</b>.", "choice": 0, "tokens": 5},
    "bob": {"rationale": "", "choice": 1, "tokens": 1},
}


def voiced(**score: Any) -> Results:
    """The toy run, as if its answers had come from two voices; the second seed asked bob alone."""
    asked = {3: SAID, 7: {"bob": SAID["bob"]}}
    predictions = {
        seed: [{"seed": seed, **row, "text": None, "matched": None, "voices": asked[seed]} for row in rows]
        for seed, rows in PREDICTIONS.items()
    }
    told = {**SCORE, "voices": {"ann": 0.5, "bob": 0.25}, "generated_tokens": 6.0, **score}
    return replace(toy_results(), predictions=predictions, score=told)


def test_a_test_question_has_each_voices_rationale_and_answer_of_the_first_seed() -> None:
    first, *_, last = [q for q in gather(voiced(), "toy", {})["questions"] if q["split"] == "test"]
    assert first["voices"] == [
        {"rationale": "Rain <b>falls</b>.", "choice": 0, "right": True},
        {"rationale": "", "choice": 1, "right": False},
    ]
    assert [voice["right"] for voice in last["voices"]] == [False, True]


def test_the_table_has_what_each_voice_did_in_the_vote() -> None:
    said = {
        "ann": {"rationale": "", "choice": 0, "scores": [-0.1, -2.4, -9.0], "weight": 0.6, "tokens": 5},
        "bob": {"rationale": "", "choice": 1, "scores": [-2.4, -0.1, -9.0], "weight": 0.4, "tokens": 1},
    }
    predictions = {seed: [{**row, "choice": 0, "voices": said} for row in rows] for seed, rows in PREDICTIONS.items()}
    results = replace(voiced(), predictions=predictions)
    votes = gather(results, "toy", {})["votes"]
    gold = [row["gold"] for rows in PREDICTIONS.values() for row in rows]
    zeros, ones = gold.count(0) / len(gold), gold.count(1) / len(gold)
    assert votes is not None and votes["accuracy"] == pytest.approx(zeros)
    ann, bob = votes["voices"]["ann"], votes["voices"]["bob"]
    assert (ann["carried"], ann["misled"], ann["without"]) == pytest.approx((zeros, ones, ones))
    assert (bob["carried"], bob["misled"], bob["without"]) == pytest.approx((0.0, 0.0, zeros))
    assert gather(voiced(), "toy", {})["votes"] is None, "each seed was asked in other voices"


def test_of_free_text_it_is_what_the_voice_wrote() -> None:
    said = {"ann": {"rationale": "So.", "answer": None, "matched": False, "tokens": 2}}
    question = replace(toy_results().test[0], choices=(), answer="wet")
    row = {"id": "e1", "gold": "wet", "choice": None, "scores": [], "text": "", "matched": False, "voices": said}
    results = replace(voiced(), test=[question], predictions={3: [{"seed": 3, **row}]})
    (shown,) = [q for q in gather(results, "toy", {})["questions"] if q["split"] == "test"]
    assert shown["voices"] == [{"rationale": "So.", "wrote": None, "right": False}, None]


def test_a_student_that_was_asked_in_voices_is_not_asked_to_explain_once_more() -> None:
    assert voices(voiced()) == [] and voices(toy_results()) == ["ann", "bob"]


def test_the_page_has_a_table_of_voices_where_they_were_asked() -> None:
    report = gather(voiced(), "toy", {})
    page = render(report, draw(report))
    section = re.search(r'<section id="voices">.*?</section>', page, re.DOTALL)
    assert section and '<a href="#voices">' in page
    cells = re.findall(r'<th scope="row">([^<]*)</th><td class="n">([^<]*)</td>', section[0])
    assert cells == [("ann", "50.0%"), ("bob", "25.0%"), ("the students' answer", "62.5%")]
    assert re.sub(r"\s+", " ", re.sub("<[^>]*>", "", section[0])).startswith(
        " Voices The students were asked in the voices of 2 teachers. In each they wrote a rationale, then an answer. Their "
        "own answer is that of all voices together. That took 6.0 tokens a question."
    )
    assert "Rain <b>falls" not in page


def test_the_page_of_direct_answers_has_none() -> None:
    report = gather(toy_results(), "toy", {})
    page = render(report, draw(report))
    assert 'id="voices"' not in page and "#voices" not in page
    assert all("voices" not in question for question in report["questions"])


@pytest.mark.slow
def test_a_reader_sees_what_each_voice_says(browser: Browser, tmp_path: Path) -> None:
    browser.open(put(tmp_path, gather(voiced(), "toy", {})))
    assert ask(browser, search="falls", split="test") == ["e1", "e2", "e3", "e4"]
    ask(browser, search="e1")
    assert browser.run(
        "[...document.querySelectorAll('#list .own')].map(n => n.innerText.split('\\n').filter(Boolean))"
    ) == [
        ["as ann", "✓ yes", "Rain <b>falls</b>."],
        ["as bob", "✗ no", "no rationale"],
    ]
    assert browser.complaints() == []

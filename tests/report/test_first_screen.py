"""What a reader sees first: the verdict in words, what could not be read or is too little to tell, and nothing cut or stray."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.browser import Browser, chromium
from tests.runs import PREDICTIONS, SCORE, TEST, toy_results
from tinyllm.records.surroundings import Control, Origin
from tinyllm.report.contents import FEW_ANSWERS, gather
from tinyllm.report.figures import draw, standalone
from tinyllm.report.figures.svg import stylesheet
from tinyllm.report.page import render

SVG = "{http://www.w3.org/2000/svg}"
NULL = {"accuracy": None, "accuracy_low": None, "accuracy_high": None}
ORIGIN: Origin = {
    "dataset": "mytask",
    "day": "29 November 2026",
    "commit": "abc1234",
    "edited": True,
    "changes": [
        {"key": "loss.alpha", "committed": "0.5", "used": "0.1"},
        {"key": "a.b", "committed": None, "used": "<b>"},
    ],
}
BETTER: Control = {
    "state": "better",
    "command": "",
    "name": "answers",
    "value": 0.353,
    "low": 0.332,
    "high": 0.374,
    "why": "",
}


def words(page: str) -> str:
    """The text that a reader without JavaScript sees."""
    body = page.partition("<body>")[2].partition("<script")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", body, flags=re.DOTALL))).split())


def toy_page(origin: Origin | None = None, control: Control | None = None, **changes: Any) -> str:
    report = gather(toy_results(), "toy", {}) | changes
    return render(report, draw(report), origin, control)  # type: ignore[arg-type]


def test_the_first_sentence_is_the_verdict_and_the_line_above_says_of_what() -> None:
    page = toy_page(ORIGIN, BETTER)
    assert words(page).startswith(
        "TinyLLM report · data set mytask · 29 November 2026 · commit abc1234 with edited code 62.5% of 4 test questions "
        "right: not shown to be better than guessing (75.0%), and better than the control (answers), which learnt from "
        "answers alone, by 35.3 points (+33.2 to +37.4). 2 small language models (students)"
    )
    assert "<title>mytask · 29 November 2026 · abc1234 · TinyLLM report</title>" in page


def test_without_a_control_the_sentence_says_what_to_type() -> None:
    command = "dvc exp run --temp -n answers -S loss.alpha=0.0"
    assert f"guessing (75.0%), and no control yet: run {command} . A control is the same student" in words(toy_page())


def test_what_differs_from_the_commit_is_on_the_page() -> None:
    told = words(toy_page(ORIGIN))
    assert (
        "2 values differ from the commit's params.yaml key this run commit loss.alpha 0.1 0.5 a.b <b> not there" in told
    )
    assert "params.yaml" not in words(toy_page({**ORIGIN, "changes": []}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "Always giving the answer that is right most often in the test set would score 75.0%; that is known only in",
        ),
        (
            {"majority": "the place among the options that is right most often in the test set"},
            "Always giving the place among the options that is right most often in the test set would score 75.0%; that",
        ),
    ],
)
def test_the_most_frequent_answer_is_said_to_be_hindsight(changes: dict[str, Any], said: str) -> None:
    assert said in words(toy_page(**changes))


# --- teachers that could not be read ---------------------------------------------------------------------------------

UNREAD = [
    ({**NULL, "questions": 12, "answered": 0, "unparsable": 12}, "12 of 12 answers could not be read"),
    (
        {"accuracy": 0.0, "accuracy_low": 0.0, "accuracy_high": 0.2, "questions": 12, "answered": 0},
        "12 of 12 answers could",
    ),
    ({**NULL, "questions": 7, "answered": 0, "declined": 7}, "7 of 7 questions declined"),
]


@pytest.mark.parametrize(("exam", "said"), UNREAD)
def test_a_teacher_that_could_not_be_read_has_no_number_and_no_mark(exam: dict[str, Any], said: str) -> None:
    report = gather(replace(toy_results(), exam={"bob": {"examined": True, "parameters": 3e6, **exam}}), "toy", {})
    figure = draw(report)["accuracy"]
    assert f"Teacher bob: {said}" in words(render(report, draw(report)))
    told = [text.text for text in ElementTree.fromstring(standalone(figure)).iter(f"{SVG}text")]
    assert "bob" not in told and told.count("0%") == 1 and "0.0%" not in told  # the axis alone
    assert "accuracy" not in report["teacher_rows"][1]


def test_of_a_teacher_that_could_be_read_in_part_the_rest_is_counted() -> None:
    exam = {
        "examined": True,
        "accuracy": 0.25,
        "accuracy_low": 0.1,
        "accuracy_high": 0.5,
        "questions": 12,
        "answered": 6,
    }
    report = gather(replace(toy_results(), exam={"bob": exam}), "toy", {})
    assert "bob: 6 of 12 answers could not be read." in words(render(report, draw(report)))
    assert "25.0%" in draw(report)["accuracy"]


# --- too little to tell ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answers", "drawn"), [(8, False), (FEW_ANSWERS - 4, False), (FEW_ANSWERS, True)])
def test_few_answers_are_said_to_be_too_few_for_a_calibration(answers: int, drawn: bool) -> None:
    each = answers // 2
    test = [replace(TEST[i % 4], id=f"e{i}") for i in range(each)]
    rows = {seed: [found[i % 4] | {"id": f"e{i}"} for i in range(each)] for seed, found in PREDICTIONS.items()}
    report = gather(replace(toy_results(), test=test, predictions=rows), "toy", {})
    told = words(render(report, draw(report)))
    assert ("calibration" in draw(report)) is drawn
    assert (f"{answers} answers are too few for a calibration" in told) is not drawn


def test_explanations_that_say_nothing_are_counted_by_why() -> None:
    said = {"e1": {"ann": "", "bob": "wet wet wet"}, "e2": {"ann": "Sand is dry.", "bob": "No."}}
    report = gather(toy_results(), "toy", said)
    assert report["explained"] == {"all": 4, "empty": 1, "repeats itself": 1}
    told = words(render(report, draw(report)))
    assert "2 of 4 explanations say nothing and are folded away (empty: 1, repeats itself: 1)." in told
    assert report["questions"][0]["empty"] == ["empty", "repeats itself"] and "empty" not in report["questions"][1]


# --- stray marks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "score",
    [
        {"accuracy": 0.0, "accuracy_low": 0.0, "accuracy_high": 0.3},
        {"accuracy": 0.01, "accuracy_low": -0.05, "accuracy_high": 0.07},
        {"accuracy": 1.0, "accuracy_low": 0.9, "accuracy_high": 1.04},
    ],
)
def test_nothing_of_the_accuracy_figure_lies_left_of_0_or_right_of_100_percent(score: dict[str, float]) -> None:
    report = gather(toy_results(), "toy", {}) | {"score": SCORE | score, "by_seed": {3: 0.0, 7: 1.0}}
    root = ElementTree.fromstring(draw(report)["accuracy"])  # type: ignore[arg-type]
    for line in root.iter("line"):
        if line.get("class") in ("interval", "seed", "guess"):
            assert 8 <= float(line.get("x1", "")) <= float(line.get("x2", "")) <= 332
    for dot in root.iter("circle"):
        x, radius = float(dot.get("cx", "")), float(dot.get("r", ""))
        assert x - radius >= 0 and x + radius <= 340  # on the line, which is as wide
    assert "linecap" not in re.findall(r"\.interval {.*", stylesheet())[0]


def test_a_count_of_nothing_draws_no_bar() -> None:
    corpus = toy_results().corpus
    none = {"kept": 0, "quarantined": 3, "reasons": {"declined": 3, "too_short": 0}}
    teachers = corpus["teachers"] | {"ann": {"train": none, "valid": none}}
    report = gather(replace(toy_results(), corpus=corpus | {"teachers": teachers}), "toy", {})
    root = ElementTree.fromstring(draw(report)["kept_ann"])
    assert [bar.get("class") for bar in root.iter("rect")] == ["rest"]


def test_a_gold_answer_that_no_question_has_shows_no_share() -> None:
    confusion = {"labels": ["(a)", "(b)"], "counts": [[2, 2], [0, 0]]}
    report = gather(toy_results(), "toy", {}) | {"confusion": confusion}
    cells = [t.text for t in ElementTree.fromstring(standalone(draw(report)["confusion"])).iter(f"{SVG}text")]  # type: ignore[arg-type]
    assert cells.count("50%") == 2 and cells.count("–") == 2 and "0%" not in cells


# --- a browser -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


LONG = "x" * 200


def long_report() -> dict[str, Any]:
    """Words without end wherever a user's own text stands."""
    report: dict[str, Any] = gather(toy_results(), LONG, {"e2": {"ann": LONG, "bob": ""}}) | {}
    report["teacher_rows"] = [{"name": LONG, "parameters": 6740000000, "ratio": 36700.0, "missing": LONG}]
    report["corpus"] = report["corpus"] | {
        "agreement": {LONG: {"both_kept": 1000, "both_state": 1000, "overlap": 0.5, "same_answer": 0.5}}
    }
    return report


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 340, 390, 1280])
def test_no_word_makes_the_page_scroll_sideways(browser: Browser, tmp_path: Path, width: int) -> None:
    origin: Origin = {**ORIGIN, "dataset": LONG, "changes": [{"key": LONG, "committed": LONG, "used": LONG}] * 2}
    control: Control = {**BETTER, "state": "none", "command": f"dvc exp run --temp -n answers -S {LONG}=0.0"}
    report = long_report()
    (tmp_path / "index.html").write_text(render(report, draw(report), origin, control), encoding="utf-8")  # type: ignore[arg-type]
    browser.open((tmp_path / "index.html").as_uri())
    try:
        browser.screenshot(tmp_path / "shot.png", width, 900)
        assert browser.run("document.documentElement.scrollWidth") == width
        nodes = "[...document.querySelectorAll('body :not(svg *)')]"
        wide = f"{nodes}.filter(node => node.scrollWidth > innerWidth).map(node => node.outerHTML)"
        assert browser.run(wide) == []
    finally:
        browser.call("Emulation.clearDeviceMetricsOverride")


@pytest.mark.slow
def test_texts_that_say_nothing_are_folded_in_the_browser_and_can_be_opened(browser: Browser, tmp_path: Path) -> None:
    results = toy_results()
    rows = [row | {"text": "wet wet wet wet" if row["id"] == "e1" else row["text"]} for row in results.predictions[3]]
    rows[0]["matched"] = None
    said = {"e1": {"ann": "", "bob": "Rain is water."}}
    report = gather(replace(results, predictions=results.predictions | {3: rows}), "toy", said)
    (tmp_path / "index.html").write_text(render(report, draw(report)), encoding="utf-8")
    browser.open((tmp_path / "index.html").as_uri())
    first = "document.querySelector('#list article')"
    told = f"[...{first}.querySelectorAll('summary')].map(n => n.textContent)"
    assert browser.run(told) == ["1 written answer says nothing: repeats itself", "1 explanation says nothing: empty"]
    seen = f"[...{first}.querySelectorAll('.own')].filter(n => n.checkVisibility()).map(n => n.innerText)"
    assert browser.run(seen) == ["as bob\n\nRain is water."]
    browser.run(f"for (const fold of {first}.querySelectorAll('details')) fold.open = true")
    assert browser.run(seen) == ["as bob\n\nRain is water.", "as ann\n\nnothing"]
    assert "Seed 3 writes" in browser.run(f"{first}.innerText")


@pytest.mark.slow
def test_a_share_of_next_to_nothing_has_no_bar(browser: Browser, tmp_path: Path) -> None:
    question = {
        "id": "e1",
        "split": "test",
        "question": "Which?",
        "choices": ["a", "b", "c", "d"],
        "gold": 0,
        "answers": [{"choice": 0, "p": [0.945, 0.0, 0.01, 0.045]}] * 2,
    }
    report: dict[str, Any] = gather(toy_results(), "toy", {}) | {"questions": [question], "examples": []}
    (tmp_path / "index.html").write_text(render(report, draw(report)), encoding="utf-8")  # type: ignore[arg-type]
    browser.open((tmp_path / "index.html").as_uri())
    bars = "[...document.querySelectorAll('#list tbody tr')].map(row => row.querySelectorAll('i').length)"
    assert browser.run(bars) == [2, 0, 0, 2]

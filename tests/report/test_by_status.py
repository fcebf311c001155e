"""The few rationales that are shown of each status."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from tests.runs import TRAIN, toy_results
from tinyllm.records.questions import Question
from tinyllm.report.by_status import MEANINGS, by_status
from tinyllm.report.contents import gather
from tinyllm.report.figures import draw
from tinyllm.report.page import render
from tinyllm.report.run_files import Rationale

METHOD = Path(__file__).resolve().parents[2] / "docs/method.md"


def test_one_or_two_of_each_are_shown_kept_ones_first_then_the_most_frequent_fault() -> None:
    found = by_status(TRAIN, toy_results().rationales)
    assert [(group["status"], group["count"]) for group in found] == [
        ("ok", 3),
        ("declined", 1),
        ("states_other_option", 1),
        ("too_short", 1),
    ]
    assert found[0]["specimens"] == [
        {"teacher": "ann", "id": "t1", "question": "Is ice cold?", "text": "Ice is frozen water, so it is cold."},
        {"teacher": "bob", "id": "t1", "question": "Is ice cold?", "text": "Water that is ice is cold."},
    ]
    declined = {"teacher": "ann", "id": "t2", "question": "A fire burns. It is night. Is fire cold?", "text": None}
    assert found[1]["specimens"] == [declined]


def test_of_two_teachers_those_of_different_questions_with_a_text_are_taken() -> None:
    rationales = {
        "ann": [Rationale("empty", None), Rationale("empty", "a b"), Rationale("empty", "c d")],
        "bob": [Rationale("empty", "e f"), Rationale("empty", "g h"), Rationale("empty", None)],
        "cy": [Rationale("empty", None)] * 3,
    }
    (group,) = by_status(TRAIN, rationales)
    assert [(one["teacher"], one["id"], one["text"]) for one in group["specimens"]] == [
        ("ann", "t2", "a b"),
        ("bob", "t1", "e f"),
    ]
    assert group["count"] == 9


def test_one_teacher_alone_has_two_and_texts_are_short_lines() -> None:
    long = Question("q", "Why?\n" * 100, ("yes", "no"), 0, "So. " * 100)
    (group,) = by_status([long] * 3, {"ann": [Rationale("too_long", "word\n" * 500)] * 3})
    first, second = group["specimens"]
    assert first == second and first["text"] is not None
    assert first["text"] == "word " * 55 + "word …" and "\n" not in first["question"]
    assert len(first["question"]) <= 40 + 160 + 5


def test_every_status_of_the_method_has_its_meaning() -> None:
    table = METHOD.read_text(encoding="utf-8").partition("| status | from | it means |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == MEANINGS.keys() - {"ok"}


def test_the_page_shows_each_with_teacher_question_text_and_reason_and_escapes_it() -> None:
    results = toy_results()
    refused = [Rationale("ok", "Sound."), Rationale("off_topic", "<script>x</script>"), Rationale("new_fault", "Hm.")]
    report = gather(replace(results, rationales={**results.rationales, "bob": refused}), "toy", {})
    page = render(report, draw(report))
    section = page.partition("One or two of each")[2].partition("</section>")[0]
    told = " ".join(re.sub(r"<[^>]+>", " ", section).split())
    assert (
        "off topic 1: shares no word of meaning with the question bob t2 A fire burns. It is night. Is fire cold?"
        in told
    )
    assert "&lt;script&gt;x&lt;/script&gt;" in section and "<script" not in section
    assert "new fault 1 bob t3 Is snow hot? Hm." in told  # a status that has no words of its own yet
    assert "kept 3: learnt from ann t1 Is ice cold?" in told and "no text" in told

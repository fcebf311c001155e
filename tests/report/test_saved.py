"""What DVC keeps of the page: a file that is the same for the same run, and from which the page is made anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.runs import toy_results
from tinyllm.records.surroundings import Origin
from tinyllm.report.contents import gather
from tinyllm.report.figures import draw
from tinyllm.report.page import render
from tinyllm.report.saved import page_is_current, read_report, save_report

ORIGIN: Origin = {"dataset": "toy", "day": "29 November 2026", "commit": "abc1234", "edited": False, "changes": []}


def test_a_report_that_is_read_again_gives_the_same_page(tmp_path: Path) -> None:
    report = gather(toy_results(), "toy", {"e2": {"ann": "Sand is dry.", "bob": ""}})
    save_report(tmp_path, report)
    again = read_report(tmp_path)
    assert render(again, draw(again), ORIGIN) == render(report, draw(report), ORIGIN)
    assert list(again["by_seed"]) == list(again["curves"]) == [3, 7]


def test_the_saved_file_has_nothing_of_the_day_and_the_page_has(tmp_path: Path) -> None:
    report = gather(toy_results(), "toy", {})
    saved = []
    for day in ("29 November 2026", "1 May 2027"):
        page = render(report, draw(report), {**ORIGIN, "day": day})
        assert f"<title>toy · {day} · abc1234 · TinyLLM report</title>" in page
        save_report(tmp_path, report)
        saved.append((tmp_path / "page.json").read_bytes())
    assert saved[0] == saved[1]


@pytest.mark.parametrize("change", [{}, {"answers": 9}, {"dataset": "other"}])
def test_a_page_of_another_run_is_told_from_this_ones(tmp_path: Path, change: dict) -> None:
    report = gather(toy_results(), "toy", {})
    assert not page_is_current(tmp_path)
    save_report(tmp_path, report)
    assert not page_is_current(tmp_path)
    other = report | change
    (tmp_path / "index.html").write_text(render(other, draw(other)), encoding="utf-8")  # type: ignore[arg-type]
    assert page_is_current(tmp_path) == (not change)


def test_a_saved_report_of_other_code_is_refused_with_the_remedy(tmp_path: Path) -> None:
    save_report(tmp_path, gather(toy_results(), "toy", {}))
    saved = json.loads((tmp_path / "page.json").read_text())
    del saved["answers"], saved["majority"]
    (tmp_path / "page.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=r"page.json: lacks answers, majority; run dvc repro report$"):
        read_report(tmp_path)

"""What the page is made from, kept as JSON: the same bytes for the same run, whatever the day, the commit and the control.

DVC keeps report/page.json. The page itself has what changes from day to day; it is made anew from the file in a second.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import cast

from tinyllm.records.files import atomic_write
from tinyllm.records.jsonl import read_json
from tinyllm.records.reading import read_text
from tinyllm.report.gathered import Report

SAVED, PAGE = "page.json", "index.html"


def save_report(folder: Path, report: Report) -> None:
    with atomic_write(folder / SAVED) as file:
        file.write(_dump(report))


def read_report(folder: Path) -> Report:
    """Return a saved report; seeds are numbers again, which JSON has as texts.

    Raises:
        ValueError: the file is missing, or another version of the code wrote it; the message says what to run.
    """
    saved = read_json(folder / SAVED)
    lacking = sorted(Report.__required_keys__ - saved.keys())
    if lacking:
        raise ValueError(f"{folder / SAVED}: lacks {', '.join(lacking)}; run dvc repro report")
    for key in ("by_seed", "curves", "looks"):
        saved[key] = {int(seed): value for seed, value in saved[key].items()}
    return cast(Report, saved)


def digest(report: Report) -> str:
    """What ties a page to the report that it was made from."""
    return hashlib.sha256(_dump(report).encode()).hexdigest()


def page_is_current(folder: Path) -> bool:
    """Whether the page in a folder was made from the report that is saved there now."""
    page, saved = folder / PAGE, folder / SAVED
    if not page.is_file() or not saved.is_file():
        return False
    head = read_text(page).partition("<style>")[0]
    return hashlib.sha256(saved.read_bytes()).hexdigest() in head


def _dump(report: Report) -> str:
    return json.dumps(report, ensure_ascii=False, separators=(",", ":")) + "\n"

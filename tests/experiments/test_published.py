"""What docs/results.md prints of a table is what `tinyllm table` makes of the results that are committed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.clones import ROOT
from tinyllm.cli.main import main

CALL = re.compile(r"`tinyllm table (experiments/(\S+)\.yaml)`")
RESULTS = ROOT / "experiments/results"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def published() -> Iterator[tuple[str, list[list[str]]]]:
    """Each table whose results are committed, with the rows of the first one that stands behind its command."""
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    for call in CALL.finditer(page):
        if (RESULTS / call[2]).is_dir():
            lines = re.search(r"(?:^\|.*\n)+", page[call.end() :], re.MULTILINE)
            assert lines, f"{call[0]}: no table behind it"
            yield call[1], [cells(line) for line in lines[0].splitlines()[2:]]


TABLES = dict(published())


def test_the_page_has_tables_whose_results_are_committed() -> None:
    assert {f"experiments/cpu/{name}.tuned.yaml" for name in ("arithmetic", "when", "few")} <= set(TABLES)


@pytest.mark.parametrize("file", TABLES)
def test_a_table_on_the_page_is_what_its_command_prints(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    main(["table", file])
    printed = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    for row in TABLES[file]:
        assert row in printed, f"{file}: the page has {row[0]}: {row[1:]}"

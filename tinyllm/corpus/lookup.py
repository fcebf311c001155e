"""Find what a teacher said of each question, without holding its rationale file in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tinyllm.corpus.places import Places
from tinyllm.records.jsonl import open_binary, parse_lines
from tinyllm.records.questions import Question
from tinyllm.records.rationales import check_fits, check_rationale, repeated


@contextmanager
def looking_up(path: Path | str) -> Iterator[Lookup]:
    """Open a rationale file, in which the rows of questions are then looked up.

    Raises:
        ValueError: as `read_rationales`, on the way; the message names file and line.
    """
    with open_binary(path) as file, Places() as places:
        yield Lookup(file, path, places)


class Lookup:
    """One teacher's rationale file, open.

    A teacher is asked the questions of train and then of valid, so its rows stand in the order in which they are looked
    up, and one after the other is read. Where that does not hold, the whole file is indexed, once.
    """

    def __init__(self, file: BinaryIO, path: Path | str, places: Places) -> None:
        self._file, self._path, self._places = file, path, places
        self._rows = parse_lines(file, path)
        self._found = 0
        self._indexed = False

    def find(self, question: Question) -> dict | None:
        """Return the row of a question, None where there is none; a question is looked up once."""
        if not self._indexed:
            number, row = next(self._rows, (0, {}))
            if row.get("id") != question.id:
                self._index()
        if self._indexed:
            number, row = self._seek(question.id)
        if not row:
            return None
        check_rationale(row, f"{self._path}:{number}")
        check_fits(row, question, f"{self._path}:{number}")
        self._found += 1
        return row

    def unknown(self) -> int:
        """Return how many rows are of no question that was looked up; asked last, for the rest of the file is read."""
        if not self._indexed and next(self._rows, None):
            self._index()
        return self._places.count - self._found if self._indexed else 0

    def _index(self) -> None:
        """Note line number and first byte of every row."""
        self._file.seek(0)
        start = 0
        for number, row in parse_lines(self._file, self._path):
            where = f"{self._path}:{number}"
            check_rationale(row, where)
            place = f"{number}:{start}"
            first = self._places.setdefault(row["id"], place)
            if first != place:
                raise repeated(row["id"], where, first.partition(":")[0])
            start = self._file.tell()
        self._indexed = True

    def _seek(self, id_: str) -> tuple[int, dict]:
        place = self._places.get(id_)
        if place is None:
            return 0, {}
        number, start = map(int, place.split(":"))
        self._file.seek(start)
        _, row = next(parse_lines(self._file, self._path))  # it starts to count anew
        return number, row

"""Rows of any number: they lie in an Arrow file, of which a batch is read at a time, and are found by their ids.

Memory holds a batch and 8 bytes an id, so it hardly grows with the rows. The file is not mapped into memory: where rows are
read in no order, most of its pages would soon count as memory in use.
"""

from __future__ import annotations

import tempfile
import weakref
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby, islice
from operator import itemgetter
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow

BATCH = 50  # rows that are written and read together; where no order holds, that many are read for one
ROW = 0xFFFFFFFF  # the lower half of a key is the row's number, the upper half is of the id's hash


class ArrowRows(Sequence[dict[str, Any]]):
    """Rows in a temporary file that has no name: it is gone when the process is.

    Args:
        columns: the Arrow type of every field
        rows: read once; one batch of them is held at a time

    Raises:
        ValueError: the disk is full.
    """

    def __init__(self, columns: Mapping[str, pyarrow.DataType], rows: Iterable[dict[str, Any]]) -> None:
        import pyarrow as pa  # slow to import

        schema, rows = pa.schema(list(columns.items())), iter(rows)
        with _needing_room():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it stays open while the rows are in use
        weakref.finalize(self, _close, self._file)
        writer, self._length = pa.ipc.new_file(self._file, schema), 0
        while batch := list(islice(rows, BATCH)):
            with _needing_room():
                writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            self._length += len(batch)
        with _needing_room():
            writer.close()
            self._file.flush()
        self._reader = pa.ipc.open_file(self._file)
        self._held: tuple[int, list[dict[str, Any]]] = (-1, [])  # the batch that was read last: its number and its rows

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> dict[str, Any]:  # type: ignore[override]  # no slices
        if not 0 <= row < self._length:
            raise IndexError(row)
        number, place = divmod(row, BATCH)
        if self._held[0] != number:
            self._held = number, self._reader.get_batch(number).to_pylist()
        return self._held[1][place]

    def column(self, name: str) -> Iterator[Any]:
        """Yield one field of every row."""
        for number in range(self._reader.num_record_batches):
            yield from self._reader.get_batch(number).column(name).to_pylist()


class IdIndex:
    """Finds rows by their field `id`, in memory of 8 bytes a row."""

    def __init__(self, rows: ArrowRows) -> None:
        self._rows = rows
        self._keys = array("Q", (_key(id_) | number for number, id_ in enumerate(rows.column("id"))))
        np.frombuffer(self._keys, dtype=np.uint64).sort()

    def find(self, id_: str) -> list[dict[str, Any]]:
        """Return the rows of an id, in their order."""
        key, found = _key(id_), []
        place = bisect_left(self._keys, key)
        while place < len(self._keys) and self._keys[place] ^ key <= ROW:
            row = self._rows[self._keys[place] & ROW]
            if row["id"] == id_:
                found.append(row)
            place += 1
        return found

    def first_repeat(
        self, name: Callable[[Mapping[str, Any]], object] = itemgetter("id")
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the first row whose name an earlier row has, and that earlier row; None where all differ.

        Args:
            name: of a row; rows of different ids must have different ones.
        """
        repeats = []
        for _, group in groupby(self._keys, lambda key: key >> 32):
            first: dict[object, int] = {}
            numbers = [key & ROW for key in group]
            if len(numbers) > 1:  # the same id, or by chance the same hash
                for number in numbers:
                    earlier = first.setdefault(name(self._rows[number]), number)
                    if earlier != number:
                        repeats.append((number, earlier))
        if not repeats:
            return None
        number, earlier = min(repeats)
        return self._rows[number], self._rows[earlier]


def _key(id_: str) -> int:
    return (hash(id_) & ROW) << 32


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # what a full disk had no room for is not missed
        file.close()


@contextmanager
def _needing_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"the temporary copy of the rows cannot be written ({error.strerror}); "
            "free space, or set TMPDIR to a folder that has it"
        ) from None

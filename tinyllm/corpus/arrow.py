"""Rows of any number: they lie in an Arrow file that is mapped into memory, and are found by their ids.

Memory holds the pages that were read last and 8 bytes an id, so it hardly grows with the rows.
"""

from __future__ import annotations

import mmap
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow

BATCH = 10_000  # rows; writing holds as many
FORGET = 10_000  # rows read, after which the pages of the file leave memory
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
        with tempfile.TemporaryFile() as file:
            writer = pa.ipc.new_file(file, schema)
            while batch := list(islice(rows, BATCH)):
                with _needing_room():
                    writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
            with _needing_room():
                writer.close()
                file.flush()
            self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        reader = pa.ipc.open_file(pa.py_buffer(self._pages))
        self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._names = schema.names
        self._length = sum(batch.num_rows for batch in self._batches)
        self._reads = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, row: int) -> dict[str, Any]:  # type: ignore[override]  # no slices
        if not 0 <= row < self._length:
            raise IndexError(row)
        self._reads += 1
        if self._reads % FORGET == 0:
            self._forget()
        batch, place = self._batches[row // BATCH], row % BATCH
        return {name: batch.column(number)[place].as_py() for number, name in enumerate(self._names)}

    def column(self, name: str) -> Iterator[Any]:
        """Yield one field of every row."""
        for batch in self._batches:
            yield from batch.column(self._names.index(name)).to_pylist()
            self._forget()

    def _forget(self) -> None:
        """Give the file's pages back: all that was ever read would count as memory in use."""
        self._pages.madvise(mmap.MADV_DONTNEED)


class IdIndex:
    """Finds rows by their field `id`, in memory of 8 bytes a row."""

    def __init__(self, rows: ArrowRows) -> None:
        self._rows = rows
        self._keys = array("Q", (_key(id_) | number for number, id_ in enumerate(rows.column("id"))))
        np.frombuffer(self._keys, dtype=np.uint64).sort()

    def find(self, id_: str) -> dict[str, Any] | None:
        """Return the row of an id, None where there is none."""
        key = _key(id_)
        place = bisect_left(self._keys, key)
        while place < len(self._keys) and self._keys[place] ^ key <= ROW:
            row = self._rows[self._keys[place] & ROW]
            if row["id"] == id_:
                return row
            place += 1
        return None

    def first_repeat(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the first row whose id an earlier row has, and that earlier row; None where all ids differ."""
        repeats = []
        for _, group in groupby(self._keys, lambda key: key >> 32):
            first: dict[str, int] = {}
            numbers = [key & ROW for key in group]
            if len(numbers) > 1:  # the same id, or by chance the same hash
                for number in numbers:
                    earlier = first.setdefault(self._rows[number]["id"], number)
                    if earlier != number:
                        repeats.append((number, earlier))
        if not repeats:
            return None
        number, earlier = min(repeats)
        return self._rows[number], self._rows[earlier]


def _key(id_: str) -> int:
    return (hash(id_) & ROW) << 32


@contextmanager
def _needing_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"the temporary copy of the rows cannot be written ({error.strerror}); "
            "free space, or set TMPDIR to a folder that has it"
        ) from None

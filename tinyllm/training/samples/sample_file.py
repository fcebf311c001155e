"""The samples of a training in an Arrow file that is mapped into memory: a million of them take no more than a thousand."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
from torch.utils.data import Dataset

from tinyllm.student.folder import errors_name
from tinyllm.training.examples import Example
from tinyllm.training.step_collator import TrainingSample

BATCH_SAMPLES = (
    50  # in the file they lie together, column by column; of larger batches, a sample's pages lie further apart
)
TOKENS = pa.list_(pa.int32())
EXAMPLE = pa.struct(
    {
        "task": pa.int32(),
        "source": pa.int32(),  # which of the row's sources
        "prompt": TOKENS,
        "labels": TOKENS,
        "weight": pa.float64(),
        "shared": pa.int32(),
    }
)
EXAMPLES = pa.struct(
    [*EXAMPLE, pa.field("alternatives", pa.list_(TOKENS))]
)  # with several targets, of which one is drawn


def write_samples(path: Path, blocks: Iterable[Sequence[TrainingSample]], alternatives: bool = False) -> None:
    """Write the samples in their order; one block at a time is held.

    Args:
        alternatives: whether examples may have some

    Raises:
        ValueError: the disk is full; the message names the file.
    """
    schema = _schema(EXAMPLES if alternatives else EXAMPLE)
    with errors_name(path):
        file = pa.ipc.new_file(path, schema)
    for block in blocks:
        table = pa.Table.from_pylist([_row(sample) for sample in block], schema=schema)
        with errors_name(path):
            file.write_table(table, max_chunksize=BATCH_SAMPLES)
    with errors_name(path):
        file.close()


class SampleFile(Dataset[TrainingSample]):
    """The samples of a file of `write_samples`, each read from it on access."""

    def __init__(self, path: Path) -> None:
        # by the ids alone and without the map, of which every page would else be touched
        with pa.OSFile(str(path)) as source:
            file = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=[0]))
            counts = [file.get_batch(i).num_rows for i in range(file.num_record_batches)]
        self._starts = list(accumulate(counts, initial=0))  # of each batch, and the number of samples
        self._file = pa.ipc.open_file(pa.memory_map(str(path)))

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: int) -> TrainingSample:
        batch = bisect_right(self._starts, index) - 1
        return _sample(self._file.get_batch(batch).slice(index - self._starts[batch], 1).to_pylist()[0])


def _schema(example: pa.StructType) -> pa.Schema:
    return pa.schema(
        {
            "id": pa.string(),
            "sources": pa.list_(TOKENS),
            "examples": pa.list_(example),
            "options": pa.list_(EXAMPLE),
            "soft_labels": pa.list_(pa.list_(pa.float32())),
        }
    )


def _row(sample: TrainingSample) -> dict:
    """Return what is written; a source that several examples share stands in it once."""
    places: dict[int, int] = {}
    sources: list[np.ndarray] = []
    for example in [*sample.examples, *sample.options]:
        if places.setdefault(id(example.source), len(sources)) == len(sources):
            sources.append(example.source)
    return {
        "id": sample.id,
        "sources": sources,
        "examples": [_record(example, places) for example in sample.examples],
        "options": [_record(option, places) for option in sample.options],
        "soft_labels": None if sample.soft_labels is None else list(sample.soft_labels),
    }


def _record(example: Example, places: dict[int, int]) -> dict:
    names = ("task", "prompt", "labels", "weight", "shared", "alternatives")
    fields = {name: getattr(example, name) for name in names}
    return {**fields, "source": places[id(example.source)]}


def _sample(row: dict) -> TrainingSample:
    """Return the sample; examples of the same source share one array, by which `collate` knows it."""
    sources = [_ids(source) for source in row["sources"]]
    soft_labels = row["soft_labels"]
    return TrainingSample(
        row["id"],
        [_example(record, sources) for record in row["examples"]],
        [_example(record, sources) for record in row["options"]],
        None if soft_labels is None else np.array(soft_labels, dtype=np.float32),
    )


def _example(record: dict, sources: Sequence[np.ndarray]) -> Example:
    ids = {"source": sources[record["source"]], "prompt": _ids(record["prompt"]), "labels": _ids(record["labels"])}
    return Example(**{**record, **ids, "alternatives": tuple(map(_ids, record.get("alternatives", ())))})


def _ids(tokens: list[int]) -> np.ndarray:
    return np.array(tokens, dtype=np.int32)

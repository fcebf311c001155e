"""The corpus as a folder that `datasets` opens: Parquet files of three configurations, and a dataset card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyllm.console import progress
from tinyllm.export.corpus_card import Counts, corpus_card
from tinyllm.export.corpus_rows import (
    COLUMN,
    TaughtQuestion,
    chat_rows,
    question_row,
    read_asked,
    read_taught,
    text_rows,
)
from tinyllm.export.folder import git_state
from tinyllm.export.whole_folder import check_free, writing_folder
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import read_json

if TYPE_CHECKING:
    import pyarrow
    from pyarrow import parquet

SPLITS = {"train": "train", "valid": "validation", "test": "test"}  # by our name, what `datasets` calls it
BATCH = 1000  # rows that are held and written together


def export_corpus(folder: Path, params: Params) -> Counts:
    """Write the corpus and its card to `folder`, whole or not at all; return how many rows each file has.

    Nothing is held but a batch of rows. Test has no rationales, so that it is in the configuration `default` alone.

    Raises:
        ValueError: the folder is in use or cannot be written, or a file of the run is missing or damaged.
    """
    check_free(folder)
    teachers, schemas = params.corpus.teachers, _schemas(params.corpus.teachers)
    total = sum(read_json("metrics/questions.json")[split] for split in SPLITS)
    counts: Counts = {kind: {} for kind in schemas}
    with writing_folder(folder) as whole, progress("export", "questions", total) as done:
        for ours, split in SPLITS.items():
            kinds = ["default"] if ours == "test" else list(schemas)
            files = {kind: _RowFile(whole / kind / f"{split}.parquet", schemas[kind]) for kind in kinds}
            for taught in _read(ours):
                files["default"].write(question_row(taught, teachers))
                if ours != "test":
                    for row in chat_rows(taught, params.student, teachers):
                        files["messages"].write(row)
                    for row in text_rows(taught, params.student, teachers):
                        files["prompt_completion"].write(row)
                done(1)
            for kind, file in files.items():
                file.close()
                counts[kind] |= {split: file.rows} if file.rows else {}
        counts = {kind: found for kind, found in counts.items() if found}
        text = corpus_card(params, counts, *git_state())
        (whole / "README.md").write_text(text, encoding="utf-8", newline="\n")
    return counts


def _read(split: str) -> Iterator[TaughtQuestion]:
    questions = Path(f"data/questions/{split}.jsonl")
    return read_asked(questions) if split == "test" else read_taught(questions, Path(f"data/corpus/{split}.jsonl"))


def _schemas(teachers: tuple[str, ...]) -> dict[str, pyarrow.Schema]:
    import pyarrow as pa  # slow to import

    text = pa.string()
    turn = pa.struct([("role", text), ("content", text)])
    named = {"id": text, "task": text}
    asked = {"id": text, "question": text, "context": text, "choices": pa.list_(text), "answer": text}
    columns: dict[str, dict[str, pyarrow.DataType]] = {
        "default": {**asked, "answer_index": pa.int64(), **{COLUMN.format(name): text for name in teachers}},
        "messages": {**named, "messages": pa.list_(turn)},
        "prompt_completion": {**named, "prompt": text, "completion": text},
    }
    return {kind: pa.schema(list(fields.items())) for kind, fields in columns.items()}


class _RowFile:
    """One Parquet file, written a batch at a time; without rows it is not there, for `datasets` opens no empty one."""

    def __init__(self, path: Path, schema: pyarrow.Schema) -> None:
        self.path, self.rows = path, 0
        self._schema, self._batch = schema, list[dict[str, Any]]()
        self._writer: parquet.ParquetWriter | None = None

    def write(self, row: dict[str, Any]) -> None:
        self._batch.append(row)
        if len(self._batch) == BATCH:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer:
            self._writer.close()

    def _flush(self) -> None:
        from pyarrow import RecordBatch, parquet

        if not self._batch:
            return
        if self._writer is None:
            self.path.parent.mkdir(exist_ok=True)
            self._writer = parquet.ParquetWriter(self.path, self._schema, compression="zstd")
        self._writer.write_batch(RecordBatch.from_pylist(self._batch, schema=self._schema))
        self.rows += len(self._batch)
        self._batch.clear()

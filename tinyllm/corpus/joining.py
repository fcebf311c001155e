"""The questions and rationale files of a project, opened together and judged row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from tinyllm.corpus.assemble import AuditedQuestion, assemble
from tinyllm.corpus.lookup import Lookup, looking_up
from tinyllm.corpus.places import Places
from tinyllm.params.schema import Corpus
from tinyllm.records.questions import reading_questions


@contextmanager
def judged_rows(
    splits: Sequence[str], params: Corpus
) -> Iterator[tuple[Iterator[AuditedQuestion], Mapping[str, Lookup]]]:
    """Yield the judged questions of data/questions/, split after split, and by teacher its file in data/rationales/.

    Raises:
        ValueError: a file is missing or faulty, when it is opened or on the way; the message names file and row.
    """
    with ExitStack() as files:
        begin = files.enter_context
        seen = begin(Places())
        questions = {split: begin(reading_questions(f"data/questions/{split}.jsonl", seen)) for split in splits}
        rationales = {  # names from params, never a listing: a dropped teacher's file stays on disk
            teacher: begin(looking_up(f"data/rationales/{teacher}.jsonl")) for teacher in params.teachers
        }
        finding = {teacher: found.find for teacher, found in rationales.items()}
        yield assemble(questions, finding, params.audit), rationales

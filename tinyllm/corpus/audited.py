"""Audited questions of any number, kept in an Arrow file until all of them have been looked at."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tinyllm.corpus.arrow import ArrowRows
from tinyllm.corpus.assemble import AuditedQuestion, Verdict
from tinyllm.parsing import ParsedRationale
from tinyllm.records import Question


class AuditedTable(Sequence[AuditedQuestion]):
    """Audited questions, read once and kept on disk, in order.

    Raises:
        ValueError: the disk is full.
    """

    def __init__(self, audited: Iterable[AuditedQuestion]) -> None:
        import pyarrow as pa  # slow to import

        self._rows = ArrowRows({"audited": pa.string()}, ({"audited": _to_json(question)} for question in audited))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> AuditedQuestion:  # type: ignore[override]  # no slices
        return _from_json(self._rows[row]["audited"])


def _to_json(audited: AuditedQuestion) -> str:
    verdicts = {teacher: _verdict_fields(verdict) for teacher, verdict in audited.verdicts.items()}
    return json.dumps({**vars(audited), "question": vars(audited.question), "verdicts": verdicts}, ensure_ascii=False)


def _from_json(text: str) -> AuditedQuestion:
    fields = json.loads(text)
    question = Question(**fields["question"] | {"choices": tuple(fields["question"]["choices"])})
    verdicts = {teacher: _verdict(verdict) for teacher, verdict in fields["verdicts"].items()}
    return AuditedQuestion(**fields | {"question": question, "verdicts": verdicts})


def _verdict_fields(verdict: Verdict) -> dict:
    rationale = {**vars(verdict.rationale), "words": list(verdict.rationale.words)}
    alternatives = [_verdict_fields(alternative) for alternative in verdict.alternatives]
    return {**vars(verdict), "rationale": rationale, "alternatives": alternatives}


def _verdict(fields: dict) -> Verdict:
    alternatives = tuple(_verdict(alternative) for alternative in fields["alternatives"])
    return Verdict(**fields | {"rationale": _rationale(fields["rationale"]), "alternatives": alternatives})


def _rationale(fields: dict) -> ParsedRationale:
    return ParsedRationale(**fields | {"sentences": tuple(fields["sentences"]), "words": frozenset(fields["words"])})

"""The rationale file and its errors."""

from __future__ import annotations

import json

import pytest

from tinyllm.rationales import read_rationales


def test_read_rationales_returns_rows_with_unknown_fields(tmp_path) -> None:
    rows = [{"id": "1", "rationale": "So.", "status": "ok", "mood": 3}, {"id": "2", "rationale": None, "status": "nan"}]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    assert read_rationales(path) == rows


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"rationale": "So.", "status": "ok"}, r"t\.jsonl:2: no field 'id'"),
        ({"id": "2", "status": "ok"}, r"t\.jsonl:2: no field 'rationale'"),
        ({"id": "2", "rationale": "So."}, r"t\.jsonl:2: no field 'status'"),
        ({"id": 2, "rationale": "So.", "status": "ok"}, r"t\.jsonl:2: id 2; allowed is a text"),
        ({"id": "2", "rationale": 5, "status": "ok"}, r"t\.jsonl:2: rationale is int; allowed is text or null"),
        ({"id": "2", "rationale": "So.", "status": "HTTP 5.0"}, r"t\.jsonl:2: status 'HTTP 5\.0'; allowed are"),
        ({"id": "2", "rationale": None, "status": "ok"}, r"t\.jsonl:2: status ok, but the rationale is None"),
        ({"id": "2", "rationale": " ", "status": "ok"}, r"t\.jsonl:2: status ok, but the rationale is ' '"),
        ({"id": "2", "rationale": "So.", "status": "nan"}, r"t\.jsonl:2: status 'nan', but there is a rationale"),
        ({"id": "1", "rationale": "So.", "status": "ok"}, r"t\.jsonl:2: id '1' stands in row 1 too"),
    ],
)
def test_read_rationales_refuses_a_faulty_row_by_file_and_row(tmp_path, row: dict, message: str) -> None:
    path = tmp_path / "t.jsonl"
    first = {"id": "1", "rationale": "So.", "status": "ok"}
    path.write_text(json.dumps(first) + "\n" + json.dumps(row))
    with pytest.raises(ValueError, match=message):
        read_rationales(path)

"""The rationale file and its errors."""

from __future__ import annotations

import json

import pytest

from tinyllm.records.rationales import read_rationales


def sure(probabilities: object) -> dict:
    return {"id": "2", "rationale": None, "status": "nan", "option_probabilities": probabilities}


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
        (
            {"id": "1", "rationale": "So.", "status": "ok", "sample": 0},
            r"t\.jsonl:2: id '1' with sample 0 stands in row 1 too; allowed is one row an id and sample$",
        ),
        (
            {"id": "1", "rationale": "So.", "status": "ok", "sample": True},
            r"t\.jsonl:2: sample True; allowed is a whole",
        ),
        (
            {"id": "1", "rationale": "So.", "status": "ok", "sample": 1.0},
            r"t\.jsonl:2: sample 1\.0; allowed is a whole",
        ),
        (sure("yes"), r"t\.jsonl:2: option_probabilities is str; allowed is a list or null"),
        (sure([0.5, "0.5"]), r"t\.jsonl:2: option_probabilities has '0\.5'; allowed are numbers from 0 to 1"),
        (sure([True, 0.0]), r"t\.jsonl:2: option_probabilities has True; allowed are numbers from 0 to 1"),
        (sure([1.5, -0.5]), r"t\.jsonl:2: option_probabilities has 1\.5; allowed are numbers from 0 to 1"),
        (sure([float("nan"), 1.0]), r"t\.jsonl:2: option_probabilities has nan; allowed are numbers from 0 to 1"),
        (sure([0.5, 0.498]), r"t\.jsonl:2: option_probabilities sum to 0\.998; allowed is 1, give or take 0\.001$"),
        (sure([]), r"t\.jsonl:2: option_probabilities sum to 0; allowed is 1, give or take 0\.001$"),
    ],
)
def test_read_rationales_refuses_a_faulty_row_by_file_and_row(tmp_path, row: dict, message: str) -> None:
    path = tmp_path / "t.jsonl"
    first = {"id": "1", "rationale": "So.", "status": "ok"}
    path.write_text(json.dumps(first) + "\n" + json.dumps(row))
    with pytest.raises(ValueError, match=message):
        read_rationales(path)


@pytest.mark.parametrize("probabilities", [None, [1, 0], [0.25, 0.75], [0.3333, 0.3333, 0.3333]])
def test_probabilities_may_be_rounded_or_absent(tmp_path, probabilities: list[float] | None) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps(sure(probabilities)))
    assert read_rationales(tmp_path / "t.jsonl") == [sure(probabilities)]


def test_a_fault_is_named_by_its_line_blank_ones_counted(tmp_path) -> None:
    (tmp_path / "t.jsonl").write_text('\n\n{"id": "1"}\n')
    with pytest.raises(ValueError, match=r"t\.jsonl:3: no field 'rationale'"):
        read_rationales(tmp_path / "t.jsonl")


def test_rows_of_one_id_are_numbered_in_order_unless_they_have_a_sample(tmp_path) -> None:
    rows = [{"id": id_, "rationale": text, "status": "ok"} for id_, text in (("1", "A."), ("2", "B."), ("1", "C."))]
    rows.append({"id": "1", "rationale": "D.", "status": "ok", "sample": 7})
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    samples = [(row["rationale"], row.get("sample")) for row in read_rationales(tmp_path / "t.jsonl")]
    assert samples == [("A.", 0), ("B.", None), ("C.", 1), ("D.", 7)]

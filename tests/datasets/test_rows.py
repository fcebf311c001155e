"""Rows as people have them: which are refused, with what is wrong, and what else they may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stage_calls import call_download
from tinyllm.datasets.load import load_folder
from tinyllm.records.jsonl import read_json, read_jsonl

GOOD = {"id": "1", "question": "Which one swims?", "choices": ["a fish", "a stone"], "answer": "a fish"}
BAD: list[tuple[Any, str, str]] = [  # a row, what is wrong with it, and the name that counts have for that
    ({**GOOD, "id": "2", "choices": ["a fish", "a  fish"]}, "the answer 'a fish' stands among the choices", "answer_twice"),
    ({**GOOD, "id": "3", "answer": "a bird"}, "answer 'a bird' is none of the choices", "answer_unknown"),
    ({**GOOD, "id": "4", "contxt": "A pond."}, "unknown field 'contxt'; did you mean context?", "unknown_field"),
    ({**GOOD, "id": "5", "qestion": "Why?"}, "unknown field 'qestion'; did you mean question?", "unknown_field"),
    (GOOD, "id '1' stands in row 1 too; ids must differ", "id_repeated"),
    ({**GOOD, "id": "6", "choices": []}, "is a free-text question, but row 1 has options", "other_kind"),
    ({**GOOD, "id": "7", "question": " "}, "the question is empty", "question"),
    ({**GOOD, "id": "14", "choices": ["a fish", ""]}, "choice 1 is empty", "choices"),
    ({**GOOD, "id": "15", "context": 3}, "context is int; allowed is text", "context"),
    ({**GOOD, "id": [1]}, "id [1]; allowed is a text or a whole number", "id"),
    ({**GOOD, "id": "16", "answer": "no field 'id' is empty"}, "answer \"no field 'id' is", "answer_unknown"),
    ("[1]", "found list; a line must be a JSON object", "not_json"),
    ('{"id": "\\ud83d"}', "\\ud83d is half a character", "unreadable"),
    ({"id": "8", "question": "Why?"}, "no field 'answer'", "field_missing"),
    ('{"id": "9", "id": "10", "question": "Why?", "answer": "x"}', "the key 'id' stands twice in one object", "key_twice"),
    ('{"id": "11", "question": "Why?', "not JSON (", "not_json"),
    ({**GOOD, "id": "12", "rationales": {"ann": 3}}, "rationales of ann is 3; allowed is a text", "rationales"),
    ({**GOOD, "id": "13", "rationales": "Fins."}, "rationales is str; allowed is {teacher: text}", "rationales"),
]  # fmt: skip


def write(folder: Path, split: str, *rows: Any) -> None:
    folder.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def own(folder: Path, *rows: Any) -> Path:
    """A set of one's own whose train has these rows."""
    write(folder, "train", *rows)
    for split in ("valid", "test"):
        write(folder, split, {**GOOD, "id": split})
    return folder


@pytest.mark.parametrize(("row", "fault"), [case[:2] for case in BAD], ids=[case[1][:30] for case in BAD])
def test_a_bad_row_is_kept_apart_with_its_fault(tmp_path: Path, row: Any, fault: str) -> None:
    loaded = load_folder(own(tmp_path / "own", GOOD, row, {**GOOD, "id": "99"}))
    assert [question.id for question in loaded.splits["train"]] == ["1", "99"]
    (bad,) = loaded.bad
    assert (bad.file, bad.row) == (str(tmp_path / "own/train.jsonl"), 2)
    assert bad.fault.startswith(fault)


def test_an_id_of_another_split_is_a_bad_row(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", GOOD)
    write(folder, "test", GOOD, {**GOOD, "id": "2"})
    loaded = load_folder(folder)
    assert [question.id for question in loaded.splits["test"]] == ["2"]
    assert "train.jsonl:1 too; ids must differ between splits" in loaded.bad[0].fault


def test_a_split_left_without_a_question_is_refused_in_either_mode_with_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own(tmp_path / "own", BAD[1][0], BAD[2][0])
    write(tmp_path / "own", "test", {**GOOD, "id": "9", "answer": 2})
    for mode in ("stop", "drop"):
        with pytest.raises(SystemExit) as caught:
            call_download(tmp_path, monkeypatch, on_bad_row=mode)
        first, second, third, last = str(caught.value.code).splitlines()
        assert "own/train.jsonl:1: answer 'a bird' is none of the choices" in first
        assert second.startswith("own/train.jsonl:2: unknown field 'contxt'")
        assert third == "own/test.jsonl:1: answer 2, but 2 choices (0-1)"
        assert last == "3 bad rows; all are in data/bad_rows.jsonl; they leave no question of train and test; mend them"
        assert len(read_jsonl(tmp_path / "data/bad_rows.jsonl")) == 3


def test_a_line_in_another_encoding_is_a_bad_row(tmp_path: Path) -> None:
    folder = own(tmp_path / "own", GOOD)
    with (folder / "train.jsonl").open("ab") as file:
        file.write('{"id": "2", "question": "Où?"}\n'.encode("latin-1"))
    loaded = load_folder(folder)
    assert [question.id for question in loaded.splits["train"]] == ["1"]
    (bad,) = loaded.bad
    assert bad.row == 2 and bad.fault.startswith("not UTF-8 (byte ")


def test_a_field_like_one_that_the_row_has_is_no_mistake(tmp_path: Path) -> None:
    loaded = load_folder(own(tmp_path / "own", {**GOOD, "answer_idx": 0, "rationales": None}))
    assert loaded.bad == []
    assert loaded.notes == [f"{tmp_path / 'own/train.jsonl'}: fields that are not read: answer_idx (1 rows)"]


def test_other_fields_are_the_owners_affair_and_are_told(tmp_path: Path) -> None:
    loaded = load_folder(
        own(tmp_path / "own", {**GOOD, "topic": "fish", "source": "me"}, {**GOOD, "id": "2", "topic": "x"})
    )
    assert loaded.bad == []
    assert loaded.notes == [
        f"{tmp_path / 'own/train.jsonl'}: fields that are not read: topic (2 rows), source (1 rows)"
    ]


def test_rationales_in_the_rows_are_recorded_teachers(tmp_path: Path) -> None:
    rows = [
        {**GOOD, "rationales": {"ann": " Fins. ", "bob": ["It has gills.", "Stones sink."]}},
        {**GOOD, "id": "2", "rationales": {"ann": None}},
    ]
    folder = own(tmp_path / "own", *rows)
    write(folder, "test", {**GOOD, "id": "test", "rationales": {"ann": "Never read."}})
    assert load_folder(folder).recorded == {
        "ann": [{"id": "1", "rationale": "Fins.", "status": "ok"}, {"id": "2", "rationale": None, "status": "missing"}],
        "bob": [
            {"id": "1", "rationale": "It has gills.", "status": "ok", "sample": 0},
            {"id": "1", "rationale": "Stones sink.", "status": "ok", "sample": 1},
        ],
    }
    (folder / "rationales").mkdir()
    (folder / "rationales/ann.jsonl").write_text('{"id": "1", "rationale": "Fins."}\n', encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"rationales/ann.jsonl: the rows of .*/own/train.jsonl have rationales of ann, too"
    ):
        load_folder(folder)


@pytest.mark.parametrize(
    ("question", "context", "asked"),
    [
        ("A pond.\nWhich one swims?", "A pond.", "Which one swims?"),
        ("A pond is deep. Which one swims?", "A pond is deep.", "Which one swims?"),
        ("Which one swims?", "", "Which one swims?"),
    ],
)
def test_the_head_of_a_question_may_be_its_context(tmp_path: Path, question: str, context: str, asked: str) -> None:
    loaded = load_folder(own(tmp_path / "own", {**GOOD, "question": question}), split_context=True)
    (first,) = loaded.splits["train"]
    assert (first.context, first.question) == (context, asked)
    given = load_folder(own(tmp_path / "own", {**GOOD, "question": question, "context": "Mine."}), split_context=True)
    assert given.splits["train"][0].context == "Mine."


def test_all_bad_rows_are_told_at_once_or_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own(tmp_path / "own", GOOD, *[row for row, _, _ in BAD])
    with pytest.raises(SystemExit) as caught:
        call_download(tmp_path, monkeypatch, on_bad_row="stop")
    *lines, last = str(caught.value.code).removeprefix("error: ").splitlines()
    listed = read_jsonl(tmp_path / "data/bad_rows.jsonl")
    assert lines == [f"own/train.jsonl:{row['row']}: {row['fault']}" for row in listed[:10]]
    assert (
        last == "18 bad rows; all are in data/bad_rows.jsonl; mend them, or leave them out with data.on_bad_row: drop"
    )
    call_download(tmp_path, monkeypatch, on_bad_row="drop", drop_leaks=False)
    assert "rows that are no question and are left out: 18 (" in capsys.readouterr().out
    metrics = read_json(tmp_path / "metrics/questions.json")
    assert (metrics["train"], metrics["bad_rows"]) == (1, 18)
    assert metrics["faults"] == {name: [name for _, _, name in BAD].count(name) for _, _, name in BAD}
    assert len(read_jsonl(tmp_path / "data/bad_rows.jsonl")) == 18


def test_the_kind_of_a_set_is_that_of_most_rows(tmp_path: Path) -> None:
    odd = {"id": "0", "question": "Which one?", "answer": "a fish"}
    loaded = load_folder(own(tmp_path / "own", odd, *({**GOOD, "id": str(number)} for number in range(1, 4))))
    assert [question.id for question in loaded.splits["train"]] == ["1", "2", "3"]
    (bad,) = loaded.bad
    assert (bad.row, bad.fault.startswith("is a free-text question, but row 2 has options")) == (1, True)

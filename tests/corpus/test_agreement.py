"""How often two teachers state the same answer, counted by hand."""

from __future__ import annotations

from pathlib import Path

from tinyllm.corpus.agreement import Agreement, teacher_agreement
from tinyllm.corpus.inputs import RationaleTable
from tinyllm.records.jsonl import write_jsonl
from tinyllm.records.questions import Question

QUESTIONS = [Question(str(n), "What do leaves take in?", ("air", "sand"), 0) for n in range(5)]
A, B = "Leaves breathe. The answer is (a).", "Leaves are dry. The answer is (b)."
SAID = {
    "ann": [A, A, B, "Leaves breathe.", A],
    "bob": [A, B, B, A, None],
    "cy": ["Leaves breathe.", A, A, A, A],
}


def test_only_questions_on_which_both_state_an_answer_count(tmp_path: Path) -> None:
    for name, texts in SAID.items():
        rows = [
            {"id": str(n), "rationale": text, "status": "empty" if text is None else "ok"}
            for n, text in enumerate(texts)
        ]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    tables = {name: RationaleTable(tmp_path / f"{name}.jsonl") for name in SAID}
    assert teacher_agreement(QUESTIONS, tables, "drop") == {
        ("ann", "bob"): Agreement(both=3, same=2),  # of the first three
        ("ann", "cy"): Agreement(both=3, same=2),  # 1, 2 and 4
        ("bob", "cy"): Agreement(both=3, same=1),  # 1, 2 and 3
    }

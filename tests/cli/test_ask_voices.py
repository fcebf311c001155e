"""`tinyllm ask` of a student that has learnt to reason: each voice, its rationale, its answer, and the vote."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.reasoning import CHOSEN, WRITTEN, reasoning_params, reasoning_student
from tinyllm.cli.ask import as_text
from tinyllm.cli.main import main
from tinyllm.student.asked import predict_as_asked
from tinyllm.student.folder import load_student, save_student

ROOT = Path(__file__).resolve().parents[2]
RECORD = {"accuracies": {"ann": 1.0, "bob": 0.0}, "questions": 2}  # they weigh 3/4 and 1/4
BLUE = next(i for i, question in enumerate(WRITTEN) if question.gold == "blue")
NAMES = {"ann": "signs", "bob": "care"}  # params.yaml's own teachers; only the prefix knows the toy's


def put_params(root: Path, **changes: Any) -> None:
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    given = json.loads(reasoning_params(**changes).model_dump_json())
    for section in ("student", "corpus", "train", "score", "runtime", "loss"):
        values[section] = given[section]
    values["teachers"] |= {teacher: values["teachers"][name] for teacher, name in NAMES.items()}
    with open(root / "params.yaml", "w", encoding="utf-8") as file:
        YAML().dump(values, file)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder with one student that chooses and one that writes."""
    root = tmp_path_factory.mktemp("project")
    for seed, free in ((1, False), (2, True)):
        save_student(reasoning_student(free, tmp_path_factory.mktemp("words")), root / f"models/student/{seed}", 24)
        (root / f"models/student/{seed}/voices.json").write_text(json.dumps(RECORD), encoding="utf-8")
    return root


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    put_params(project)
    monkeypatch.chdir(project)
    monkeypatch.delenv("TINYLLM_TRACEBACK", raising=False)
    return project


def asked(capsys: pytest.CaptureFixture[str], *given: str) -> dict:
    main(["ask", *given, "--json"])
    return json.loads(capsys.readouterr().out)


CHOICES = [part for choice in CHOSEN[BLUE].choices for part in ("--choice", choice)]


def test_the_vote_is_told_as_in_scoring_with_what_each_voice_says(inside: Path, capsys) -> None:
    told = asked(capsys, CHOSEN[BLUE].question, *CHOICES)
    folder = inside / "models/student/1"
    (row,) = predict_as_asked(load_student(folder), folder, [CHOSEN[BLUE]], reasoning_params())
    assert (told["answer"], told["choice"]) == ("blue", row["choice"])
    assert sum(told["probabilities"]) == pytest.approx(1, abs=2e-4)
    assert told["voices"].keys() == {"ann", "bob"}
    ann, bob = told["voices"].values()
    assert (ann["weight"], bob["weight"]) == (0.75, 0.25)
    assert (ann["answer"], ann["choice"]) == ("blue", 1) and (bob["answer"], bob["choice"]) == ("red", 0)
    assert [ann["rationale"], bob["rationale"]] == [voice["rationale"] for voice in row["voices"].values()]
    both = zip(ann["probabilities"], bob["probabilities"], strict=True)
    assert told["probabilities"] == pytest.approx([0.75 * a + 0.25 * b for a, b in both], abs=2e-4)


def test_free_text_is_voted_on(inside: Path, capsys) -> None:
    main(["ask", WRITTEN[BLUE].question, "--seed", "2"])
    assert capsys.readouterr().out.split("\n") == [
        "blue",
        "ann says blue (75.0% of the vote)",
        "    The animal is blue.",
        "bob says red (25.0% of the vote)",
        "    It is red.",
        "",
    ]


def test_rationales_adds_the_voices_that_are_not_asked(inside: Path, capsys) -> None:
    put_params(inside, score__voices="bob")
    alone = asked(capsys, WRITTEN[BLUE].question, "--seed", "2")
    assert alone == {"answer": "red", "voices": {"bob": {"rationale": "It is red.", "answer": "red", "weight": 1.0}}}
    both = asked(capsys, WRITTEN[BLUE].question, "--seed", "2", "--rationales")
    assert both["answer"] == "red" and both["voices"]["ann"] == {
        "rationale": "The animal is blue.",
        "answer": "blue",
        "weight": 0.0,
    }
    main(["ask", WRITTEN[BLUE].question, "--seed", "2", "--rationales"])
    assert "ann says blue (no vote)" in capsys.readouterr().out


def test_the_best_voice_is_read_from_the_students_folder(inside: Path, capsys) -> None:
    put_params(inside, score__voices="best")
    assert list(asked(capsys, WRITTEN[BLUE].question, "--seed", "2")["voices"]) == ["ann"]
    record = inside / "models/student/2/voices.json"
    whole = record.read_text(encoding="utf-8")
    try:
        record.unlink()
        with pytest.raises(SystemExit) as stop:
            main(["ask", WRITTEN[BLUE].question, "--seed", "2"])
        assert str(stop.value.code).startswith(
            "error: score.voices: is best, but models/student/2/voices.json has no accuracy"
        )
    finally:
        record.write_text(whole, encoding="utf-8")


def test_json_lines_tell_the_voices_too(inside: Path, capsys, monkeypatch) -> None:
    lines = "".join(json.dumps({"id": q.id, "question": q.question}) + "\n" for q in WRITTEN[:2])
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(lines.encode())))
    main(["ask", "--seed", "2"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in told] == [question.id for question in WRITTEN[:2]]
    assert all(row["voices"]["bob"]["rationale"] == "It is red." for row in told)


def test_a_voice_that_says_nothing_is_shown_as_such_and_obeys_no_terminal() -> None:
    said = {
        "ann": {"rationale": "", "answer": None, "weight": 1.0},
        "bob": {"rationale": "A\x1b[2J", "answer": "4", "weight": 0.0},
    }
    assert as_text({"answer": "", "voices": said}, []).split("\n") == [
        "(nothing)",
        "ann says (nothing) (100.0% of the vote)",
        "    (no rationale)",
        "bob says 4 (no vote)",
        "    A?[2J",
    ]

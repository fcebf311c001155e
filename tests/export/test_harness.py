"""The task of lm-evaluation-harness beside an exported student: where it is installed, the harness chooses as we do."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, StrictUndefined
from ruamel.yaml import YAML

from tests.exported import exported_params
from tests.toys import toy_causal, toy_model, toy_questions, toy_tokenizer
from tinyllm.export.corpus_folder import export_corpus
from tinyllm.export.harness import HarnessTask, harness_task
from tinyllm.export.loading import loading
from tinyllm.models.loaded import loaded_model
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import write_json, write_jsonl
from tinyllm.records.questions import input_text, write_questions
from tinyllm.student.folder import load_student, save_student
from tinyllm.student.predict import predict
from tinyllm.student.tuning import tune

QUESTIONS = toy_questions(40)
CHAT = "{% for message in messages %}user: {{ message['content'] }} student:\n{% endfor %}"
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "a T5": (toy_model, {}),
    "a Llama": (toy_causal, {}),
    "a Llama of other words": (
        toy_causal,
        {"student__response": '\n"{{ Answer }}"\\n:\n', "student__answer_prefix": "say {% it %}: "},
    ),
    "a Llama that chats": (toy_causal, {"student__chat": True}),
    "a T5's adapters": (toy_model, {"student__tuning": "lora"}),
    "a Llama's soft prompt": (toy_causal, {"student__tuning": "prompt"}),
}


def put_student(root: Path, kind: str) -> tuple[Path, Params]:
    """Put a student of noise into a folder, so that it chooses now this option and now that."""
    make, changes = KINDS[kind]
    tokenizer = toy_tokenizer(root / "vocabulary")
    tokenizer.chat_template = CHAT if changes.get("student__chat") else None
    model = make(tokenizer)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(0.0, 0.5)
    save_student(loaded_model(model, tokenizer), root / "base", 8)
    params = exported_params(
        student__origin="local", student__model=str(root / "base"), student__scratch=None, **changes
    )
    lora = params.student.lora.model_copy(update={"saved": "adapter"})
    params = params.model_copy(update={"student": params.student.model_copy(update={"lora": lora})})
    tuned = tune(load_student(root / "base").plain, params.student)
    for weight in tuned.parameters():
        if params.student.tuning != "full" and weight.requires_grad:
            weight.data.normal_(0.0, 0.5)
    save_student(loaded_model(tuned, tokenizer), root / "student", 8)
    return root / "student", params


def task_of(folder: Path, params: Params) -> HarnessTask | None:
    return harness_task(folder, params, loading(folder, params.student), None)


@pytest.mark.parametrize("kind", KINDS)
def test_the_task_shows_what_the_student_reads(kind: str, tmp_path: Path) -> None:
    folder, params = put_student(tmp_path, kind)
    found = task_of(folder, params)
    assert found is not None
    task = YAML(typ="safe").load(found.text)
    templates = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    question = QUESTIONS[0]  # it has a context
    row = vars(question) | {"choices": list(question.choices)}
    shown = {key: templates.from_string(task[f"doc_to_{key}"]).render(row) for key in ("text", "choice", "target")}
    student = params.student
    behind = "" if "T5" in kind or student.chat else student.response
    assert shown == {
        "text": f"{student.answer_prefix}We met by the river. It was late.\n{input_text(question)}{behind}",
        "choice": "['red</s>', 'blue</s>', 'green</s>']",
        "target": "1",
    }
    assert task["target_delimiter"] == (" " if kind in ("a Llama", "a Llama's soft prompt") else "")
    place = "base,peft=FOLDER" if params.student.tuning != "full" else "FOLDER"
    begin = ",add_bos_token=False" if "Llama" in kind else ""
    flag = " --apply_chat_template" if kind == "a Llama that chats" else ""
    assert found.arguments == f"pretrained={place},dtype=float32{begin}{flag}"


@pytest.mark.parametrize(
    "changes",
    [
        {"student__target": "rationale_then_answer"},
        {"student__target": "answer_then_rationale", "score__voices": "vote"},
        {"student__shared_encoder": True},
        {"score__normalize": "tokens"},
    ],
)
def test_a_student_that_the_harness_cannot_ask_has_no_task(changes: dict[str, Any], tmp_path: Path) -> None:
    folder, _ = put_student(tmp_path, "a T5")
    assert task_of(folder, exported_params(**changes)) is None


def test_a_chat_template_whose_end_would_join_the_option_has_no_task(tmp_path: Path) -> None:
    folder, params = put_student(tmp_path, "a Llama that chats")
    template = folder / "chat_template.jinja"
    template.write_text(CHAT.replace("\n", ""), encoding="utf-8")
    assert task_of(folder, params) is None


# In a process of its own: what the harness imports warns, and it reads the environment once.
THEIRS = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
folder, task, arguments = sys.argv[1:]
arguments, _, flag = arguments.replace("FOLDER", folder).partition(" --")
found = simple_evaluate(
    model="hf", model_args=arguments, tasks=[task], batch_size=16, device="cpu", bootstrap_iters=0,
    task_manager=TaskManager(include_path=folder, include_defaults=False), apply_chat_template=bool(flag),
)
samples = sorted(found["samples"][task], key=lambda sample: sample["doc_id"])
scores = [[float(answer[0][0]) for answer in sample["resps"]] for sample in samples]
print("found:" + json.dumps({"scores": scores, "acc": found["results"][task]["acc,none"]}))
"""


def theirs(folder: Path, found: HarnessTask, work: Path) -> dict[str, Any]:
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(work / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", THEIRS, str(folder), found.name, found.arguments]
    ran = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.partition("found:")[2].splitlines()[0])


@pytest.mark.nightly
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="not installed: pip install -e '.[crosscheck]'")
@pytest.mark.parametrize("kind", KINDS)
def test_the_harness_chooses_as_we_do(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, params = put_student(tmp_path, kind)
    found = task_of(folder, params)
    assert found is not None
    monkeypatch.chdir(tmp_path)
    text = found.text
    if kind == "a T5":  # from an exported corpus
        put_corpus()
        text = text.replace("dataset_path: json", "dataset_path: parquet")
        text = text.replace("data/questions/test.jsonl", "corpus/default/test.parquet")
    else:
        write_questions("data/questions/test.jsonl", QUESTIONS)
    (folder / "lm_eval.yaml").write_text(text, encoding="utf-8")
    ours = [row["choice"] for row in predict(load_student(folder), QUESTIONS, params)]
    other = theirs(folder, found, tmp_path)
    assert [max(range(len(row)), key=row.__getitem__) for row in other["scores"]] == ours
    right = [choice == question.answer for choice, question in zip(ours, QUESTIONS, strict=True)]
    assert other["acc"] == pytest.approx(sum(right) / len(right))
    assert len(set(ours)) > 1, "a student that always chooses the same shows nothing"


def put_corpus() -> None:
    """Export a corpus whose test questions are those of this file."""
    write_questions("data/questions/test.jsonl", QUESTIONS)
    for split in ("train", "valid"):
        (question,) = toy_questions(1, split=split)
        write_questions(f"data/questions/{split}.jsonl", [question])
        write_jsonl(f"data/corpus/{split}.jsonl", [{"id": question.id, "targets": {"answer": question.gold}}])
    write_json("metrics/questions.json", {"train": 1, "valid": 1, "test": len(QUESTIONS)})
    write_json("metrics/corpus.json", {"teachers": {}})
    export_corpus(Path("corpus"), exported_params(corpus__teachers=()))

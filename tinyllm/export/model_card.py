"""The model card of a trained student: what it is, how good, under which terms, and what it cannot do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from huggingface_hub import EvalResult, ModelCardData

from tinyllm.evaluation.exams import measured, missing_answers
from tinyllm.evaluation.guessing import best_guess
from tinyllm.evaluation.intervals import accuracy_interval
from tinyllm.evaluation.wording import MAJORITY, MAJORITY_TEXT, corpus_notes, percent
from tinyllm.export.loading import named, saved_alone
from tinyllm.export.source import described, hub_id, languages, set_name
from tinyllm.export.template import as_code, fill
from tinyllm.export.terms import data_terms, licence, licence_note, teacher_terms
from tinyllm.params.schema import Params, alpha
from tinyllm.project import STUDENTS
from tinyllm.records.jsonl import read_json, read_jsonl
from tinyllm.records.predictions import is_right, parse_predictions
from tinyllm.records.questions import read_questions
from tinyllm.student.base import Base, read_base
from tinyllm.student.target_text import LEAD

PREDICTIONS = Path("data/predictions.jsonl")
TEST = Path("data/questions/test.jsonl")
PIPELINE = "text-generation"  # the hub has no tag of its own for an encoder-decoder that writes text
TUNED = {
    "full": "",
    "upper": " Only its upper layers were trained.",
    "merged": " Only low-rank adapters of its layers were trained (LoRA); they are merged into its weights.",
    "lora": " Only low-rank adapters of its layers were trained (LoRA), and they alone are in this folder.",
    "prompt": " Only the vectors before its input were trained (a soft prompt), and they alone are in this folder.",
}
LEARNT = {  # by student.target, how a rationale is learnt
    "multitask": "each as a task of its own",
    "rationale_then_answer": "each with the answer behind it as one text",
    "answer_then_rationale": "each with the answer before it as one text",
}
FREE_EXAMPLE = {"text": "Which colour has a ripe lemon?"}
EXAMPLE = {"text": "Which of these is a colour?", "choices": ["red", "seven"]}  # other sets' are their makers'


def card(facts: Mapping[str, Any]) -> str:
    """Return the model card.

    Args:
        facts: of `gather`, of `loading` and of `folder.history`, and `harness`, a task of that module or None
    """
    return fill("card.md.j2", facts)


def gather(seed: int, params: Params) -> dict[str, Any]:
    """Return what the card tells of the student itself, from params and from the files of the finished run.

    Raises:
        ValueError: a file is missing; the message says which stage writes it.
    """
    score, training = read_json("metrics/score.json"), read_json(f"metrics/train/{seed}.json")
    voices = [name for name in params.corpus.teachers if alpha(params.loss, name) > 0]
    made = params.corpus.answers == "teachers"  # then all teachers may have voted
    # every teacher's probabilities are learnt then, whatever the weight of its rationales
    believed = params.loss.kd > 0 and (params.corpus.option_probabilities or not (made and params.corpus.soft_answers))
    heard = believed or made
    teachers = [_teacher(name, params) for name in (params.corpus.teachers if heard else voices)]
    dataset, own, base = params.data.dataset, _own_accuracy(seed), read_base(STUDENTS / str(seed))
    return {
        "front": _front(seed, params, [teacher["name"] for teacher in teachers], own, score),
        "title": f"TinyLLM student: {set_name(params)}, seed {seed}",
        "seed": seed,
        "parameters": f"{training['parameters']:,}",
        "valid_accuracy": training["valid_accuracy"],
        "origin": _origin(params, base),
        "revision": base.commit if base else params.student.revision,
        "score": score,
        "own": own,
        "guess": best_guess(score),
        "majority": MAJORITY_TEXT if own["free"] else MAJORITY,
        "trained": params.train.epochs > 0,
        "teachers": teachers,
        "voices": voices,
        "learnt": LEARNT[params.student.target],
        "behind": (behind := params.student.target == "rationale_then_answer"),
        "asked": params.student.rationale_prefix.replace("{teacher}", voices[0])
        if behind
        else params.student.answer_prefix,
        "lead": LEAD,
        "believed": believed,
        "notes": corpus_notes(read_json("metrics/corpus.json")),
        "data": {
            "what": described(params),
            "terms": data_terms(dataset),
            "counts": read_json("metrics/questions.json"),
        },
        "licence": licence_note(params, [teacher["name"] for teacher in teachers]),
        "example": FREE_EXAMPLE if own["free"] else _example(dataset),
        "student": params.student,
        "limit": params.student.max_target_tokens,
        "answer_limit": params.score.max_new_tokens,
        "sums": params.score.normalize == "none",
        "params": _shown_params(params),
    }


def _front(seed: int, params: Params, teachers: Sequence[str], own: Own, score: Mapping[str, Any]) -> str:
    """Return the YAML that the hub reads, as its own library writes it."""
    student, free = params.student, own["free"]
    known, alone, trained = hub_id(params), saved_alone(student), params.train.epochs > 0
    data = ModelCardData(
        license=licence(params, teachers),
        language=languages(params),
        library_name="peft" if alone else "transformers",
        pipeline_tag=PIPELINE,
        base_model=student.model if student.origin == "hub" else None,
        base_model_relation=("adapter" if alone else "finetune") if student.origin == "hub" and trained else None,
        datasets=[known] if known else None,
        tags=["tinyllm", "distillation", *(() if free else ("multiple-choice",))],
        metrics=["accuracy", *(["exact_match"] if free or params.score.texts else [])],
        model_name=f"tinyllm-{set_name(params)}-{seed}",
        eval_results=_results(seed, params, own, score),
    )
    return data.to_yaml(original_order=["license", "language", "library_name", "pipeline_tag"]) + "\n"


def _results(seed: int, params: Params, own: Own, score: Mapping[str, Any]) -> list[EvalResult]:
    """Return the test's metrics; the format has no field for an interval, so that it is part of a metric's name."""
    rows: list[tuple[str, str, Mapping[str, Any]]] = [("accuracy", f"Accuracy of this student (seed {seed})", own)]
    if score["seeds"] > 1:
        rows.append(("accuracy", f"Accuracy, mean of {score['seeds']} seeds", score))
    results = [
        EvalResult(
            **_measured_on(params, own["free"]),
            metric_type=kind,
            metric_value=round(found["accuracy"], 4),
            metric_name=f"{name}, 95% interval {percent(found['accuracy_low'])} to {percent(found['accuracy_high'])}%",
        )
        for kind, name, found in rows
    ]
    if not own["free"] and "exact_match" in score:
        name = f"Exact match of the greedy text, mean over {score['seeds']} seeds"
        where = _measured_on(params, own["free"])
        results.append(
            EvalResult(**where, metric_type="exact_match", metric_value=score["exact_match"], metric_name=name)
        )
    return results


def _measured_on(params: Params, free: bool) -> dict[str, Any]:
    """Return what the results have in common: the hub's kind of task, and the set."""
    data = params.data
    return {
        "task_type": "question-answering" if free else "multiple-choice",
        "dataset_type": hub_id(params) or data.dataset,
        "dataset_name": set_name(params),
        "dataset_split": "test",
        "dataset_revision": data.hub.revision if data.dataset == "hub" else None,
    }


def _teacher(name: str, params: Params) -> dict[str, Any]:
    what, terms = teacher_terms(name, params)
    path = Path(f"metrics/exam/{name}.json")
    exam = read_json(path) if path.is_file() else {"examined": False}
    judged = {"exam": exam, "measured": measured(exam), "missing": missing_answers(exam)}
    return {"name": name, "weight": alpha(params.loss, name), "what": what, "terms": terms, **judged}


def _origin(params: Params, base: Base | None) -> str:
    student = params.student
    if student.origin == "scratch":
        kind = "Llama" if student.scratch and student.scratch.architecture == "causal" else "T5"
        start = f"It is a {kind} that started from random weights: it knows no text but that of its data."
    else:
        commit = ""
        if student.origin == "hub":
            commit = f" at commit `{base.commit}`" if base else ", at a commit that was not recorded"
        start = f"It started from {as_code(named(str(student.model)))}{commit}; the terms of that checkpoint apply to it too."
    return start + TUNED["merged" if student.tuning == "lora" and not saved_alone(student) else student.tuning]


class Own(TypedDict):
    """A student's own accuracy on test."""

    accuracy: float
    accuracy_low: float
    accuracy_high: float
    free: bool  # of free text


def _own_accuracy(seed: int) -> Own:
    by_seed = parse_predictions(read_jsonl(PREDICTIONS), questions := read_questions(TEST), str(PREDICTIONS))
    if seed not in by_seed:
        raise ValueError(f"{PREDICTIONS}: no row of seed {seed}; run dvc repro score")
    import numpy as np  # not needed to say what is missing

    rows = by_seed[seed]
    right = np.array([[is_right(row) for row in rows]])  # (1, questions)
    low, high = accuracy_interval(right)
    accuracy = float(right.mean())
    return {"accuracy": accuracy, "accuracy_low": low, "accuracy_high": high, "free": questions[0].free}


def _example(dataset: str) -> dict[str, Any]:
    """A question to load the student with: one of test where that is ours to pass on."""
    if dataset != "casebook":
        return EXAMPLE
    question = read_questions(TEST)[0]
    text = f"{question.context}\n{question.question}" if question.context else question.question
    return {"text": text, "choices": list(question.choices)}


def _shown_params(params: Params) -> dict[str, Any]:
    """The values that shape a student, by dotted key."""
    rows: dict[str, Any] = {"corpus.teachers": list(params.corpus.teachers)}
    for name in ("student", "loss", "train"):
        for key, value in json.loads(getattr(params, name).model_dump_json()).items():
            rows[f"{name}.{key}"] = value
    student = params.student
    used = {"lora": "lora", "prompt": "soft_prompt", "upper": "upper"}.get(student.tuning)
    for name in {"lora", "soft_prompt", "upper"} - {used}:
        del rows[f"student.{name}"]
    if student.origin != "scratch":
        del rows["student.scratch"]
    if student.model is not None:
        rows["student.model"] = named(student.model)
    return rows

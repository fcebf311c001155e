"""The model card of a trained student: what it is, how good, under which terms, and what it cannot do."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from ruamel.yaml import YAML

from tinyllm.console import as_json, printable
from tinyllm.evaluation.exams import measured, missing_answers
from tinyllm.evaluation.guessing import best_guess
from tinyllm.evaluation.intervals import accuracy_interval
from tinyllm.evaluation.wording import MAJORITY, MAJORITY_TEXT, corpus_notes, percent
from tinyllm.export.loading import named, saved_alone
from tinyllm.export.terms import data_terms, licence, licence_note, teacher_terms
from tinyllm.params.schema import Params, alpha
from tinyllm.params.teacher_entries import RELEASED
from tinyllm.records.jsonl import read_json, read_jsonl
from tinyllm.records.predictions import is_right, parse_predictions
from tinyllm.records.questions import read_questions
from tinyllm.student.target_text import LEAD

PREDICTIONS = Path("data/predictions.jsonl")
TEST = Path("data/questions/test.jsonl")
HUB_SETS = {
    "obqa": "allenai/openbookqa",
    "arc": "allenai/ai2_arc",
    "piqa": "ybisk/piqa",
    "riddle": "INK-USC/riddle_sense",
    "pubmedqa": "qiaojin/PubMedQA",
}
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
        facts: of `gather`, of `loading` and of `export.history`
    """
    environment = Environment(  # Markdown, so no HTML escapes: `cell` and `code` keep values in their places
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": percent, "cell": _cell, "code": _code, "python": repr}
    return environment.get_template("card.md.j2").render(facts)


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
    dataset, own = params.data.dataset, _own_accuracy(seed)
    return {
        "front": _front(params, [teacher["name"] for teacher in teachers], own["free"]),
        "title": f"TinyLLM student: {_title(params)}, seed {seed}",
        "seed": seed,
        "parameters": f"{training['parameters']:,}",
        "valid_accuracy": training["valid_accuracy"],
        "origin": _origin(params),
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
            "what": _data(params),
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


def _front(params: Params, teachers: Sequence[str], free: bool) -> str:
    data, student = params.data, params.student
    hub_id = HUB_SETS.get(data.dataset)
    if (
        data.dataset == "hub"
        and not Path(data.hub.path).is_dir()
        and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", data.hub.path)
    ):
        hub_id = data.hub.path
    values = {
        "license": licence(params, teachers),
        "language": ["en"] if data.dataset in (*RELEASED, "casebook") else None,
        "library_name": "peft" if saved_alone(student) else "transformers",
        "base_model": student.model if student.origin == "hub" else None,
        "datasets": [hub_id] if hub_id else None,
        "tags": ["tinyllm", "distillation", *(() if free else ("multiple-choice",))],
        "metrics": ["accuracy", *(["exact_match"] if free or params.score.texts else [])],
    }
    file = io.StringIO()
    writer = YAML()
    writer.default_flow_style = False
    writer.dump({key: value for key, value in values.items() if value}, file)
    return file.getvalue()


def _teacher(name: str, params: Params) -> dict[str, Any]:
    what, terms = teacher_terms(name, params)
    path = Path(f"metrics/exam/{name}.json")
    exam = read_json(path) if path.is_file() else {"examined": False}
    judged = {"exam": exam, "measured": measured(exam), "missing": missing_answers(exam)}
    return {"name": name, "weight": alpha(params.loss, name), "what": what, "terms": terms, **judged}


def _title(params: Params) -> str:
    """Return the name of the set, if it is one that a title can hold; else that of its kind."""
    data = params.data
    place = {"jsonl": data.folder, "hub": data.hub.path}.get(data.dataset, data.dataset)
    return name if re.fullmatch(r"[\w.-]+", name := Path(place).name) else data.dataset


def _data(params: Params) -> str:
    data = params.data
    if data.dataset == "casebook":
        return f"casebook, a world generated by this project (world {data.seed})"
    if data.dataset in RELEASED:
        return f"`{data.dataset}` as in the TinyLLM authors' release"
    if data.dataset == "hub":
        return f"{_code(named(data.hub.path))}, revision {_code(data.hub.revision)}"
    return f"a set of its maker's own, {_code(named(data.folder))}"


def _origin(params: Params) -> str:
    student = params.student
    if student.origin == "scratch":
        kind = "Llama" if student.scratch and student.scratch.architecture == "causal" else "T5"
        start = f"It is a {kind} that started from random weights: it knows no text but that of its data."
    else:
        start = f"It started from {_code(named(str(student.model)))}; the terms of that checkpoint apply to it too."
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


def _cell(text: str) -> str:
    """Text that neither ends its table cell nor is markup, a link or a picture among it."""
    line = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace("://", ":&#47;&#47;")
    return re.sub(r"([\\`*\[\]|~])", r"\\\1", line)


def _code(value: object) -> str:
    """A value as inline code, in JSON unless it is text."""
    text = value if isinstance(value, str) and value.isprintable() and value else as_json(value)
    return f"`{text.replace('`', chr(39)).replace('|', chr(92) + '|')}`"

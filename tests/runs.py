"""A finished toy run that several tests share: small enough that every number of its report can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tinyllm.params.yaml_file import read_yaml
from tinyllm.provenance.records import digest_of, stages_of, write_record
from tinyllm.records.jsonl import read_json, write_json, write_jsonl
from tinyllm.records.questions import Question, write_questions
from tinyllm.report.run_files import Rationale, Results

TEACHERS = ("ann", "bob")
SEEDS = (3, 7)

TRAIN = [
    Question("t1", "Is ice cold?", ("yes", "no"), 0),
    Question("t2", "Is fire cold?", ("no", "yes"), 0, "A fire burns.\nIt is night."),
    Question("t3", "Is snow hot?", ("yes", "no"), 1),
]
TEST = [
    Question("e1", "Is rain wet?", ("yes", "no"), 0, "It rains."),
    Question("e2", "Is sand wet?", ("no", "yes"), 0),
    Question("e3", "Is the moon wet?", ("yes", "no"), 1),
    Question("e4", "Is tea wet?", ("no", "yes"), 1),
]
RATIONALES = {
    "ann": [
        Rationale("ok", "Ice is frozen water, so it is cold."),
        Rationale("declined", None),
        Rationale("ok", "Snow is ice, which is cold, so it is by no means hot."),
    ],
    "bob": [
        Rationale("ok", "Water that is ice is cold."),
        Rationale("too_short", "No <b>way</b>."),
        Rationale("states_other_option", "It is hot, so the answer is yes."),
    ],
}


def prediction(question: Question, choice: int, scores: list[float], text: str, matched: int | None) -> dict:
    return {
        "id": question.id,
        "gold": question.answer,
        "choice": choice,
        "scores": scores,
        "text": text,
        "matched": matched,
    }


LOG3 = 1.0986122886681098  # the odds of 3 to 1: a probability of 75%
PREDICTIONS = {
    3: [  # right, right, wrong, right
        prediction(TEST[0], 0, [0.0, -LOG3], "yes", 0),
        prediction(TEST[1], 0, [-1.0, -1.0], "no", 0),
        prediction(TEST[2], 0, [-2.0, -2.0 - LOG3], "yes yes", None),
        prediction(TEST[3], 1, [-LOG3, 0.0], "no", 0),
    ],
    7: [  # right, wrong, wrong, right
        prediction(TEST[0], 0, [0.0, -LOG3], "yes", 0),
        prediction(TEST[1], 1, [-LOG3, 0.0], "yes", 1),
        prediction(TEST[2], 0, [0.0, -800.0], "yes", 0),
        prediction(TEST[3], 1, [-800.0, 0.0], "yes", 1),
    ],
}
CURVES = {
    3: {"answer": [(10, 2.0), (20, 0.5)], "ann": [(10, 3.0), (20, 1.0)], "bob": [(10, 3.5), (20, 1.25)]},
    7: {"answer": [(10, 2.5), (20, 0.25)], "ann": [(10, 3.25), (20, 1.5)], "bob": [(10, 4.0), (20, 1.75)]},
}
TRAINING = {
    seed: {"valid_accuracy": 0.5, "parameters": 2000, "steps": 20, "epochs": 4, "best_epoch": best}
    for seed, best in zip(SEEDS, (4, 2), strict=True)
}
LOOKS = {3: [(20, 0.5)], 7: [(10, 0.5)]}  # the best of each seed
CORPUS: dict[str, Any] = {
    "rows": {"train": 3, "valid": 2},
    "teachers": {
        "ann": {
            "train": {"kept": 2, "quarantined": 1, "reasons": {"declined": 1}},
            "valid": {"kept": 2, "quarantined": 0, "reasons": {}},
        },
        "bob": {
            "train": {"kept": 1, "quarantined": 2, "reasons": {"states_other_option": 1, "too_short": 1}},
            "valid": {"kept": 0, "quarantined": 2, "reasons": {"missing": 2}},
        },
    },
    "agreement": {"ann+bob": {"both_state": 0, "both_kept": 1, "overlap": 0.6}},
}
SCORE = {
    "accuracy": 0.625,
    "accuracy_low": 0.2,
    "accuracy_high": 0.9,
    "chance": 0.5,
    "majority": 0.75,
    "questions": 4,
    "seeds": 2,
}
EXAM: dict[str, dict] = {
    "ann": {"examined": False},
    "bob": {"examined": True, "accuracy": 0.8, "accuracy_low": 0.7, "accuracy_high": 0.9, "parameters": 3e6},
}


def toy_results() -> Results:
    predictions = {seed: [{"seed": seed, **row} for row in rows] for seed, rows in PREDICTIONS.items()}
    return Results(TRAIN, TEST, RATIONALES, predictions, CURVES, LOOKS, TRAINING, CORPUS, SCORE, EXAM)


def put_records(root: Path) -> None:
    """Write a record of every stage of a run in the working folder, and let its metrics name the digest."""
    values = read_yaml(root / "params.yaml")
    for stage in stages_of(values):
        write_record(stage, {"data.dataset": values["data"]["dataset"]})
    digest = digest_of({"data.dataset": values["data"]["dataset"]})
    for path in (root / "metrics/score.json", *(root / f"metrics/train/{seed}.json" for seed in SEEDS)):
        write_json(path, {**read_json(path), "params": digest})


def put_run(root: Path) -> None:
    """Write the run as the stages leave it."""
    write_questions(root / "data/questions/train.jsonl", TRAIN)
    write_questions(root / "data/questions/test.jsonl", TEST)
    rows, quarantine = [], []
    for i, question in enumerate(TRAIN):
        given = {teacher: found[i] for teacher, found in RATIONALES.items()}
        kept = {teacher: rationale.text for teacher, rationale in given.items() if rationale.status == "ok"}
        rows.append({"id": question.id, "context": "", "input": "", "targets": {"answer": question.gold, **kept}})
        quarantine += [
            {"id": question.id, "split": "train", "teacher": teacher, "status": found.status, "rationale": found.text}
            for teacher, found in given.items()
            if found.status != "ok"
        ]
    write_jsonl(root / "data/corpus/train.jsonl", rows)
    write_jsonl(root / "data/quarantine.jsonl", quarantine)
    write_jsonl(
        root / "data/predictions.jsonl", ({"seed": s, **row} for s, found in PREDICTIONS.items() for row in found)
    )
    write_json(root / "metrics/corpus.json", CORPUS)
    write_json(root / "metrics/score.json", SCORE)
    for teacher, found in EXAM.items():
        write_json(root / f"metrics/exam/{teacher}.json", found)
    for seed in SEEDS:
        write_json(root / f"metrics/train/{seed}.json", TRAINING[seed])
        lines = [(step, task, loss) for task, points in CURVES[seed].items() for step, loss in points]
        (root / "metrics/loss").mkdir(exist_ok=True)
        table = "".join(f"{step}\t{task}\t{json.dumps(loss)}\n" for step, task, loss in sorted(lines))
        (root / f"metrics/loss/{seed}.tsv").write_text(f"step\ttask\tloss\n{table}", encoding="utf-8")

"""Score every seed's student on test, once.

Reads   models/student/SEED/, data/questions/test.jsonl, metrics/exam/TEACHER.json, metrics/train/SEED.json
Writes  data/predictions.jsonl, data/confusion.csv, metrics/score.json

DVC runs it; by hand: python -m stages.score
"""

from pathlib import Path
from statistics import fmean

from stages import run
from tinyllm.console import progress
from tinyllm.evaluation import confusion_rows, ratios, summarise_predictions
from tinyllm.provenance import StageRun
from tinyllm.records import read_json, read_questions, write_csv, write_json, write_jsonl


def main(stage: StageRun) -> None:
    params = stage.params
    questions = read_questions("data/questions/test.jsonl")
    from tinyllm.models import choose_device, note_slow_bf16, prepare_torch
    from tinyllm.student import load_student, passes_as_asked, predict_as_asked

    prepare_torch(params.train.threads)
    device = choose_device(params.runtime)
    note_slow_bf16(device, {"score.precision": params.score.precision})

    predictions = []
    total = passes_as_asked(questions, params) * len(questions) * len(params.train.seeds)
    with progress("score", "passes over a question", total) as done:
        for seed in params.train.seeds:
            folder = Path("models/student") / str(seed)
            student = load_student(folder, device)
            predictions.append(predict_as_asked(student, folder, questions, params, done))
    rows = zip(params.train.seeds, predictions, strict=True)
    write_jsonl("data/predictions.jsonl", ({"seed": seed, **row} for seed, part in rows for row in part))
    write_csv("data/confusion.csv", ("actual", "predicted"), confusion_rows(questions, predictions))
    metrics = summarise_predictions(questions, predictions)
    exams = {teacher: read_json(f"metrics/exam/{teacher}.json") for teacher in params.corpus.teachers}
    parameters = sum(weight.numel() for weight in student.wrapped.parameters())
    sizes = {"parameters": parameters, **ratios(metrics["accuracy"], parameters, exams)}
    origin = {"dataset": params.data.dataset, "params": stage.digest}
    trained = [read_json(f"metrics/train/{seed}.json") for seed in params.train.seeds]
    valid = {"valid_accuracy": round(fmean(seed["valid_accuracy"] for seed in trained), 4)}  # a mean over seeds, too
    write_json("metrics/score.json", {**metrics, **valid, **sizes, **origin})
    print(
        f"accuracy {metrics['accuracy']} ({metrics['accuracy_low']}-{metrics['accuracy_high']}), "
        f"chance {metrics['chance']}, majority {metrics['majority']}; "
        f"{metrics['questions']} questions, {metrics['seeds']} seed{'s' if metrics['seeds'] > 1 else ''}"
    )


if __name__ == "__main__":
    run(main, __doc__)

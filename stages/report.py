"""Show the run on one page: how good, how learnt, what was kept, where it errs, and the questions to leaf through.

Reads   data/questions/{train,test}.jsonl, data/corpus/train.jsonl, data/quarantine.jsonl, data/predictions.jsonl,
        models/student/SEED/ of the first seed, metrics/{corpus,score}.json, metrics/{train,loss,exam}/
Writes  report/index.html, report/FIGURE.svg

DVC runs it; by hand: python -m stages.report
"""

from collections.abc import Sequence
from pathlib import Path

from stages import run
from tinyllm.bars import progress
from tinyllm.figures import draw
from tinyllm.jsonl import replacing
from tinyllm.page import render
from tinyllm.params import load_params
from tinyllm.questions import Question
from tinyllm.report import explained, gather, voices
from tinyllm.results import read_results
from tinyllm.settings import Params
from tinyllm.svg import standalone

REPORT = Path("report")


def main() -> None:
    params = load_params()
    results = read_results(params.corpus.teachers, params.train.seeds)
    learnt = voices(results)
    explanations = ask_student(params, explained(results.test), learnt) if learnt else {}
    report = gather(results, params.data.dataset, explanations)
    figures = draw(report)
    files = {f"{name}.svg": standalone(figure) for name, figure in figures.items()}
    files["index.html"] = render(report, figures)
    for old in REPORT.glob("*.svg"):  # of a teacher that was dropped
        old.unlink()
    for name, text in files.items():
        with replacing(REPORT / name) as file:
            file.write(text)
    print(f"{REPORT / 'index.html'}: {len(report['questions'])} questions, {len(figures)} figures")


def ask_student(params: Params, questions: Sequence[Question], teachers: Sequence[str]) -> dict[str, dict[str, str]]:
    from tinyllm.explanations import explain  # these bring torch, which a missing file should not wait for
    from tinyllm.students import device, load_student, prepare_torch

    prepare_torch(params.train.threads)
    model, tokenizer = load_student(Path("models/student") / str(params.train.seeds[0]))
    model.to(device(params.runtime))
    with progress("report", "rationales", len(questions) * len(teachers)) as done:
        return explain(model, tokenizer, questions, teachers, params, done)


if __name__ == "__main__":
    run(main, __doc__)

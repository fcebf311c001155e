"""Show the run on one page: how good, how learnt, what was kept, where it errs, and the questions to leaf through.

Reads   data/questions/{train,test}.jsonl, data/corpus/train.jsonl, data/quarantine.jsonl, data/predictions.jsonl,
        models/student/SEED/ of the first seed, metrics/{corpus,score}.json, metrics/{train,loss,valid,exam}/
Writes  report/page.json, report/figures/NAME.svg; from these, and not kept by DVC, report/index.html with the day,
        the control and who helped

DVC runs it; by hand: python -m stages.report
"""

from collections.abc import Sequence
from pathlib import Path

from stages import run
from tinyllm.console import progress
from tinyllm.experiments import find_attribution, find_control, find_origin
from tinyllm.params import Params
from tinyllm.provenance import StageRun, check_run
from tinyllm.records import Question, atomic_write
from tinyllm.report import draw, explained, gather, read_results, render, save_report, standalone, voices

REPORT = Path("report")


def main(stage: StageRun) -> None:
    params = stage.params
    check_run()
    results = read_results(params.corpus.teachers, params.train.seeds)
    learnt = voices(results)
    explanations = ask_student(params, explained(results.test), learnt) if learnt else {}
    report = gather(results, params.data.dataset, explanations)
    figures = draw(report)
    files = {f"figures/{name}.svg": standalone(figure) for name, figure in figures.items()}
    files["index.html"] = render(report, figures, find_origin(), find_control(), find_attribution())
    for old in [*REPORT.glob("*.svg"), *REPORT.glob("figures/*.svg")]:  # where they once lay, or of a dropped teacher
        old.unlink()
    save_report(REPORT, report)
    for name, text in files.items():
        with atomic_write(REPORT / name) as file:
            file.write(text)
    print(f"{REPORT / 'index.html'}: {len(report['questions'])} questions, {len(figures)} figures")


def ask_student(params: Params, questions: Sequence[Question], teachers: Sequence[str]) -> dict[str, dict[str, str]]:
    from tinyllm.models import choose_device, prepare_torch
    from tinyllm.student import (  # these bring torch, which a missing file should not wait for
        load_student,
        write_rationales,
    )

    prepare_torch(params.train.threads)
    student = load_student(Path("models/student") / str(params.train.seeds[0]), choose_device(params.runtime))
    with progress("report", "rationales", len(questions) * len(teachers)) as done:
        return write_rationales(student, questions, teachers, params, done)


if __name__ == "__main__":
    run(main, __doc__)

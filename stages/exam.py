"""Let one teacher answer the test questions itself, without the gold answer: what the student is measured against.

Reads   data/questions/{train,test}.jsonl (train for in-context examples), the answer cache
Writes  data/exam/TEACHER.jsonl, metrics/exam/TEACHER.json, the answer cache

DVC runs it; by hand: python -m stages.exam signs
"""

from stages import run
from tinyllm.provenance import StageRun
from tinyllm.records import write_json, write_jsonl
from tinyllm.teachers import check_failed, grade, open_teacher, read_asked


def main(stage: StageRun, teacher: str) -> None:
    params = stage.params
    train, test = read_asked(teacher, params, "test")
    settings = params.teachers[teacher]
    # brings numpy, which a mistake in params should not wait for
    from tinyllm.evaluation import exam_in_words, not_examined, summarise_exam

    size = None if settings.backend == "expert" else settings.parameters
    if settings.backend == "recorded":
        rows, summary = [], not_examined(size)
    else:
        completions = open_teacher(teacher, params, train).examine(test)
        check_failed(teacher, completions, params.corpus.max_quarantined)
        rows = grade(test, completions)
        summary = summarise_exam(rows, size)
    write_jsonl(f"data/exam/{teacher}.jsonl", rows)
    write_json(f"metrics/exam/{teacher}.json", summary)
    counts = [
        f"{name} {value:,.0f}" for name, value in summary.items() if not name.startswith(("accuracy", "examined"))
    ]
    print(f"{teacher}: " + ", ".join([exam_in_words(summary), *counts]))


if __name__ == "__main__":
    run(main, __doc__, "teacher")

"""Ask one teacher for a rationale of every question of train and valid.

Reads   data/questions/{train,valid}.jsonl, data/recorded/TEACHER.jsonl
Writes  data/rationales/TEACHER.jsonl, metrics/query/TEACHER.json

DVC runs it; by hand: python -m stages.query signs
"""

from collections import Counter

from stages import run
from tinyllm.jsonl import write_json, write_jsonl
from tinyllm.params import load_params
from tinyllm.questions import read_questions
from tinyllm.teachers.opening import open_teacher, rationale_row


def main(teacher: str) -> None:
    params = load_params()
    if teacher not in params.teachers:
        raise ValueError(f"{teacher} is not in the registry `teachers`; it has {', '.join(params.teachers)}")
    questions = [*read_questions("data/questions/train.jsonl"), *read_questions("data/questions/valid.jsonl")]
    completions = open_teacher(teacher, params.teachers[teacher]).complete(questions)
    rows = [rationale_row(question, completion) for question, completion in zip(questions, completions, strict=True)]
    write_jsonl(f"data/rationales/{teacher}.jsonl", rows)
    counts = Counter(row["status"] for row in rows)
    write_json(f"metrics/query/{teacher}.json", {"asked": len(rows), **dict(sorted(counts.items()))})
    print(f"{teacher}: asked {len(rows)}; " + ", ".join(f"{status} {n}" for status, n in sorted(counts.items())))


if __name__ == "__main__":
    run(main, __doc__, "teacher")

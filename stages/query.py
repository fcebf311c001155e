"""Ask one teacher for a rationale of every question of train and valid.

Reads   data/questions/{train,valid}.jsonl, data/recorded/TEACHER.jsonl, the answer cache
Writes  data/rationales/TEACHER.jsonl, metrics/query/TEACHER.json, the answer cache

DVC runs it; by hand: python -m stages.query signs
"""

from stages import run
from tinyllm.jsonl import write_json, write_jsonl
from tinyllm.params import load_params
from tinyllm.questions import read_questions
from tinyllm.teachers.asking import check_failed, summarise_query
from tinyllm.teachers.opening import check_known, open_teacher, rationale_row


def main(teacher: str) -> None:
    params = load_params()
    check_known(teacher, params)
    train, valid = (read_questions(f"data/questions/{split}.jsonl") for split in ("train", "valid"))
    questions = [*train, *valid]
    completions = open_teacher(teacher, params, train).complete(questions)
    check_failed(teacher, completions, params.corpus.max_quarantined)
    rows = [rationale_row(question, completion) for question, completion in zip(questions, completions, strict=True)]
    write_jsonl(f"data/rationales/{teacher}.jsonl", rows)
    summary = summarise_query(completions)
    write_json(f"metrics/query/{teacher}.json", summary)
    print(f"{teacher}: " + ", ".join(f"{name} {count}" for name, count in summary.items()))


if __name__ == "__main__":
    run(main, __doc__, "teacher")

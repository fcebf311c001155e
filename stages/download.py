"""Fetch or generate the question set, check it, and drop what train shares with valid and test.

Reads   what `data.dataset` names
Writes  data/questions/{train,valid,test}.jsonl, data/recorded/TEACHER.jsonl, data/bad_rows.jsonl, metrics/questions.json

DVC runs it; by hand: python -m stages.download
"""

from pathlib import Path

from stages import run
from tinyllm.datasets import count_faults, load_set, prepare, refuse_bad, stop_at_bad, without_question
from tinyllm.provenance import StageRun
from tinyllm.records import first_ids, write_json, write_jsonl, write_questions

QUESTIONS = Path("data/questions")
RECORDED = Path("data/recorded")
BAD_ROWS = Path("data/bad_rows.jsonl")


def main(stage: StageRun) -> None:
    params = stage.params
    data = params.data
    loaded = load_set(data, params.corpus.teachers)
    if loaded.terms:
        print(f"{data.dataset}: {loaded.terms}")
    for note in loaded.notes:
        print(note)
    if loaded.bad:  # before they are refused
        write_jsonl(BAD_ROWS, map(vars, loaded.bad))
    refuse_bad(loaded.splits, loaded.bad, stop_at_bad(data), BAD_ROWS)
    splits, counts = prepare(loaded.splits, data.take, data.drop_leaks)
    for split, questions in splits.items():
        write_questions(QUESTIONS / f"{split}.jsonl", questions)
    write_jsonl(BAD_ROWS, map(vars, loaded.bad))
    RECORDED.mkdir(parents=True, exist_ok=True)
    for old in RECORDED.iterdir():  # another set's rationales must not be read as this one's
        old.unlink()
    for teacher, rows in loaded.recorded.items():
        write_jsonl(RECORDED / f"{teacher}.jsonl", rows)
    if loaded.bad:
        faults = count_faults(loaded.bad)
        counts |= {"bad_rows": len(loaded.bad), "faults": faults}
        listed = ", ".join(f"{name} {count}" for name, count in faults.items())
        print(f"rows that are no question and are left out: {len(loaded.bad)} ({listed}); all are in {BAD_ROWS}")
    lost = without_question(loaded)
    if loaded.recorded:
        counts["rationales_without_question"] = sum(map(len, lost.values()))
    write_json("metrics/questions.json", counts)
    for teacher, ids in lost.items():
        count = len(loaded.recorded[teacher])
        print(f"{teacher}: {len(ids)} of {count} rationales are of no question in the set ({first_ids(ids)})")
    print(", ".join(f"{split} {len(questions)}" for split, questions in splits.items()), "questions")
    if counts["dropped"]:
        print(f"{counts['dropped']} of train dropped, for they stand in valid or test, with these options or others")


if __name__ == "__main__":
    run(main, __doc__)

"""Assemble the training corpus: one row a question, one target a task; what is unfit goes to the quarantine.

Reads   data/questions/{train,valid}.jsonl, data/rationales/TEACHER.jsonl
Writes  data/corpus/{train,valid}.jsonl, data/quarantine.jsonl, metrics/corpus.json

DVC runs it; by hand: python -m stages.assemble
"""

from stages import run
from tinyllm.corpus import assemble, check_quarantine, summarise
from tinyllm.jsonl import write_json, write_jsonl
from tinyllm.params import load_params
from tinyllm.questions import read_questions
from tinyllm.rationales import read_rationales


def main() -> None:
    params = load_params().corpus
    splits = {split: read_questions(f"data/questions/{split}.jsonl") for split in ("train", "valid")}
    rationales = {  # names from params, never a listing: a dropped teacher's file stays on disk
        teacher: read_rationales(f"data/rationales/{teacher}.jsonl") for teacher in params.teachers
    }
    corpus = assemble(splits, rationales, params.audit)
    for split, rows in corpus.rows.items():
        write_jsonl(f"data/corpus/{split}.jsonl", rows)
    write_jsonl("data/quarantine.jsonl", corpus.quarantine)  # before the check: it is what the message points to
    summary = summarise(corpus)
    write_json("metrics/corpus.json", summary)
    check_quarantine(summary, params.max_quarantined)
    print(f"{len(corpus.rows['train'])} rows of train; {len(corpus.quarantine)} rationales quarantined")


if __name__ == "__main__":
    run(main, __doc__)

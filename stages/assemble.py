"""Assemble the training corpus: one row a question, one target a task; what is unfit goes to the quarantine.

Reads   data/questions/{train,valid}.jsonl, data/rationales/TEACHER.jsonl
Writes  data/corpus/{train,valid}.jsonl, data/quarantine.jsonl, metrics/corpus.json

DVC runs it; by hand: python -m stages.assemble
"""

from contextlib import ExitStack

from stages import run
from tinyllm.bars import progress
from tinyllm.corpus import assemble
from tinyllm.jsonl import write_json, writing_jsonl
from tinyllm.lookup import looking_up
from tinyllm.params import load_params
from tinyllm.places import Places
from tinyllm.questions import reading_questions
from tinyllm.tally import Tally, check_quarantine

SPLITS = ("train", "valid")


def main() -> None:
    params = load_params().corpus
    tally = Tally(SPLITS, params.teachers)
    with ExitStack() as files:  # row by row, so that memory does not grow with the corpus
        begin = files.enter_context
        seen = begin(Places())
        questions = {split: begin(reading_questions(f"data/questions/{split}.jsonl", seen)) for split in SPLITS}
        rationales = {  # names from params, never a listing: a dropped teacher's file stays on disk
            teacher: begin(looking_up(f"data/rationales/{teacher}.jsonl")) for teacher in params.teachers
        }
        write_row = {split: begin(writing_jsonl(f"data/corpus/{split}.jsonl")) for split in SPLITS}
        write_refused = begin(writing_jsonl("data/quarantine.jsonl"))
        done = begin(progress("assemble", "questions"))
        for judged in assemble(questions, {name: found.find for name, found in rationales.items()}, params.audit):
            write_row[judged.split](judged.row)
            for refused in judged.quarantine:
                write_refused(refused)
            tally.add(judged)
            done(1)
        summary = tally.summary({teacher: found.unknown() for teacher, found in rationales.items()})
    write_json("metrics/corpus.json", summary)
    check_quarantine(summary, params.max_quarantined)  # last: its message points to what was written
    refused = sum(counts[split]["quarantined"] for counts in summary["teachers"].values() for split in SPLITS)
    print(f"{summary['rows']['train']} rows of train; {refused} rationales quarantined")


if __name__ == "__main__":
    run(main, __doc__)

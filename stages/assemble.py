"""Assemble the training corpus: one row a question, one target a task; what is unfit or not selected is quarantined.

Reads   data/questions/{train,valid}.jsonl, data/rationales/TEACHER.jsonl
Writes  data/corpus/{train,valid}.jsonl, data/quarantine.jsonl, metrics/corpus.json

DVC runs it; by hand: python -m stages.assemble
"""

from contextlib import ExitStack

from stages import run
from tinyllm.console import progress
from tinyllm.corpus import CorpusMetrics, check_quarantine, judged_rows, rationale_weights, select
from tinyllm.params import load_params
from tinyllm.records import write_json, writing_jsonl

SPLITS = ("train", "valid")


def main() -> None:
    params = load_params().corpus
    weights = None
    if params.selection != "all":  # it looks at the whole corpus first
        with judged_rows(SPLITS, params) as (judged, _):
            weights = iter(rationale_weights(params.selection, judged))
    tally = CorpusMetrics(SPLITS, params.teachers)
    with ExitStack() as files:  # row by row, so that memory does not grow with the corpus
        begin = files.enter_context
        judged, rationales = begin(judged_rows(SPLITS, params))
        write_row = {split: begin(writing_jsonl(f"data/corpus/{split}.jsonl")) for split in SPLITS}
        write_refused = begin(writing_jsonl("data/quarantine.jsonl"))
        done = begin(progress("assemble", "questions"))
        for one in judged:
            chosen = select(one, next(weights)) if weights else one
            write_row[chosen.split](chosen.row)
            for refused in chosen.quarantine:
                write_refused(refused)
            tally.add(chosen)
            done(1)
        summary = tally.summary({teacher: found.unknown() for teacher, found in rationales.items()})
    write_json("metrics/corpus.json", summary)
    check_quarantine(summary, params.max_quarantined)  # last: its message points to what was written
    refused = sum(counts[split]["quarantined"] for counts in summary["teachers"].values() for split in SPLITS)
    kept = sum(counts["train"]["kept"] for counts in summary["teachers"].values())
    rows = summary["rows"]["train"]
    print(f"{rows} rows of train with {kept} rationales; {refused} quarantined, see metrics/corpus.json")
    if params.selection != "all" and not kept:
        print(f"corpus.selection: {params.selection} leaves no rationale, so the student learns from answers alone")


if __name__ == "__main__":
    run(main, __doc__)

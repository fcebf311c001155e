"""Assemble the training corpus: one row a question, one target a task; what is unfit or not selected is quarantined.

Reads   data/questions/{train,valid}.jsonl, data/rationales/TEACHER.jsonl
Writes  data/corpus/{train,valid}.jsonl, data/quarantine.jsonl, metrics/corpus.json

DVC runs it; by hand: python -m stages.assemble
"""

from contextlib import ExitStack

from stages import run
from tinyllm.console import progress
from tinyllm.corpus import CorpusMetrics, QuestionTable, RationaleTable, assemble, check_quarantine, keep_selected
from tinyllm.provenance import StageRun
from tinyllm.records import write_json, writing_jsonl

SPLITS = ("train", "valid")


def main(stage: StageRun) -> None:
    params = stage.params.corpus
    questions = QuestionTable({split: f"data/questions/{split}.jsonl" for split in SPLITS})
    rationales = {  # names from params, never a listing: a dropped teacher's file stays on disk
        teacher: RationaleTable(f"data/rationales/{teacher}.jsonl") for teacher in params.teachers
    }
    finding = {teacher: table.find for teacher, table in rationales.items()}
    audited = assemble({split: questions.of(split) for split in SPLITS}, finding, params.audit, params.thinking)
    metrics = CorpusMetrics(SPLITS, params.teachers)
    with ExitStack() as files:  # row by row, so that memory does not grow with the corpus
        begin = files.enter_context
        write_row = {split: begin(writing_jsonl(f"data/corpus/{split}.jsonl")) for split in SPLITS}
        write_refused = begin(writing_jsonl("data/quarantine.jsonl"))
        done = begin(progress("assemble", "questions"))
        for question in keep_selected(params.selection, audited):
            write_row[question.split](question.row)
            for refused in question.quarantine:
                write_refused(refused)
            metrics.add(question)
            done(1)
    summary = metrics.summary({teacher: table.unknown() for teacher, table in rationales.items()})
    write_json("metrics/corpus.json", summary)
    check_quarantine(summary, params.max_quarantined)  # last: its message points to what was written
    refused_count = sum(counts[split]["quarantined"] for counts in summary["teachers"].values() for split in SPLITS)
    kept = sum(counts["train"]["kept"] for counts in summary["teachers"].values())
    rows = summary["rows"]["train"]
    print(f"{rows} rows of train with {kept} rationales; {refused_count} quarantined, see metrics/corpus.json")
    if params.selection != "all" and not kept:
        print(f"corpus.selection: {params.selection} leaves no rationale, so the student learns from answers alone")


if __name__ == "__main__":
    run(main, __doc__)

"""Assemble the training corpus: one row a question, one target a task; what is unfit or not selected is quarantined.

Reads   data/questions/{train,valid}.jsonl, data/rationales/TEACHER.jsonl
Writes  data/corpus/{train,valid}.jsonl, data/quarantine.jsonl, metrics/corpus.json

DVC runs it; by hand: python -m stages.assemble
"""

from contextlib import ExitStack

from stages import run
from tinyllm.console import progress
from tinyllm.corpus import (
    AnswerMaker,
    CorpusMetrics,
    QuestionTable,
    RationaleTable,
    assemble,
    check_quarantine,
    control_rationales,
    corpus_in_words,
    keep_selected,
)
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
    answers = AnswerMaker(stage.params.data.labelled, params, rationales)
    splits = {"train": answers.fill(lambda: questions.of("train")), "valid": questions.of("valid")}
    audited = answers.soften(assemble(splits, finding, params.audit, params.thinking))
    metrics = CorpusMetrics(SPLITS, params.teachers)
    with ExitStack() as files:  # row by row, so that memory does not grow with the corpus
        begin = files.enter_context
        write_row = {split: begin(writing_jsonl(f"data/corpus/{split}.jsonl")) for split in SPLITS}
        write_refused = begin(writing_jsonl("data/quarantine.jsonl"))
        done = begin(progress("assemble", "questions"))
        for question in control_rationales(params.control, keep_selected(params.selection, audited)):
            write_row[question.split](question.row)
            for refused in question.quarantine:
                write_refused(refused)
            metrics.add(question)
            done(1)
    summary = metrics.summary({teacher: table.unknown() for teacher, table in rationales.items()}) | answers.summary()
    summary |= {} if params.control == "none" else {"control": params.control}
    write_json("metrics/corpus.json", summary)
    check_quarantine(summary, params.max_quarantined)  # last: its message points to what was written
    print(corpus_in_words(summary, params.selection))


if __name__ == "__main__":
    run(main, __doc__)

"""Ask one teacher for a rationale of every question of train and valid, and if wanted how likely it finds each option.

Reads   data/questions/{train,valid}.jsonl, data/recorded/TEACHER.jsonl, the answer cache
Writes  data/rationales/TEACHER.jsonl, metrics/query/TEACHER.json, the answer cache

DVC runs it; by hand: python -m stages.query signs
"""

from stages import run
from tinyllm.provenance import StageRun
from tinyllm.records import require_options, write_json, write_jsonl
from tinyllm.teachers import (
    check_failed,
    check_probabilities,
    gold_shown,
    open_teacher,
    query_costs,
    rationale_rows,
    read_asked,
    stated_gold,
    summarise_query,
)


def main(stage: StageRun, teacher: str) -> None:
    params = stage.params
    train, valid = read_asked(teacher, params, "valid")
    questions, limit = [*train, *valid], params.corpus.max_quarantined
    if params.corpus.option_probabilities:  # before anything is asked
        require_options(questions, "corpus.option_probabilities: true")
    opened = open_teacher(teacher, params, train)
    completions = opened.complete(questions)
    check_failed(teacher, completions, limit)
    probabilities = None
    if params.corpus.option_probabilities:
        probabilities = opened.option_probabilities(questions)
        check_probabilities(teacher, probabilities, limit)
    shown = gold_shown(teacher, params, train, questions)
    write_jsonl(f"data/rationales/{teacher}.jsonl", rationale_rows(questions, completions, probabilities, shown))
    summary = summarise_query(completions, probabilities, query_costs(opened))
    if getattr(params.teachers[teacher], "forced", None) is False:
        summary |= stated_gold(questions, completions)
    write_json(f"metrics/query/{teacher}.json", summary)
    print(f"{teacher}: " + ", ".join(f"{name} {count}" for name, count in summary.items()))


if __name__ == "__main__":
    run(main, __doc__, "teacher")

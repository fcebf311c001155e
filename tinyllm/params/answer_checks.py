"""What contradicts among the params of few gold answers and of controls."""

from __future__ import annotations

from collections.abc import Iterable

from tinyllm.params.schema import Params

VOTE = "vote"  # the name of the made answers' shares among the teachers' option probabilities
FREE = ("svamp",)  # public sets that are answered in free text


def check_answers(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    """Yield (keys, sentence) for every value that contradicts another."""
    corpus = params.corpus
    if corpus.control != "none" and not corpus.teachers:
        where = ("corpus", "control")
        yield where, f"is {corpus.control}, but corpus.teachers is empty; name teachers, or set it to none"
    if corpus.answers == "gold":
        return
    where = ("corpus", "answers")
    if params.data.labelled is None:
        yield where, "is teachers, but data.labelled is null: all questions have their gold; set that, or this to gold"
    if not any(answers_by_itself(params, name) for name in corpus.teachers if name in params.teachers):
        yield (
            where,
            "is teachers, but no teacher of corpus.teachers answers without being shown the gold answer; allowed are live "
            "teachers and recorded ones with forced: false (null is unknown and counts as shown); add one, or set it to gold",
        )
    if corpus.soft_answers:
        yield from _check_soft_answers(params)


def answers_by_itself(params: Params, name: str) -> bool:
    """Tell whether what a teacher says of an unlabelled question is its own answer: it was not shown the gold one."""
    teacher = params.teachers[name]
    return teacher.forced is False if teacher.backend == "recorded" else True


def _check_soft_answers(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    where = ("corpus", "soft_answers")
    if not params.loss.kd:
        yield (
            where,
            "is true, but loss.kd is 0.0, at which no option's probability is learnt; raise it, or set this to false",
        )
    if params.data.dataset in FREE or (params.data.dataset == "hub" and params.data.hub.columns.choices is None):
        yield where, "is true, but the questions have no options; set it to false"
    if VOTE in params.corpus.teachers:
        yield where, f"is true, but a teacher is called {VOTE}, as the made answers' shares are; give it another name"

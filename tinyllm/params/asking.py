"""How a student is asked: for its answer directly, or in teachers' voices; and what of that contradicts."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from tinyllm.params.schema import Params, alpha

DIRECT, VOTE, BEST = "direct", "vote", "best"
WAYS = ("auto", DIRECT, VOTE, BEST)  # any other value of score.voices is a teacher's name
Mistake = tuple[tuple[str, ...], str]  # keys and sentence


def how_asked(params: Params) -> str:
    """Return `direct`, `vote`, `best` or the name of the teacher in whose voice alone the student answers."""
    if params.score.voices != "auto":
        return params.score.voices
    return VOTE if params.student.target == "rationale_then_answer" else DIRECT


def learnt_voices(params: Params) -> list[str]:
    """Return the teachers in whose voice the student learnt to write: those with a weight in its loss."""
    return [teacher for teacher in params.corpus.teachers if alpha(params.loss, teacher) > 0]


def check_asking(params: Params) -> Iterable[Mistake]:
    """Yield (keys, sentence) for every value that contradicts another."""
    where, voices, target = ("score", "voices"), params.score.voices, params.student.target
    taken = [name for name in params.corpus.teachers if name in WAYS]
    if voices not in WAYS and voices not in params.corpus.teachers:
        yield where, f"is {voices}; {_allowed(params)}"
    elif target == "multitask" and voices not in ("auto", DIRECT):
        told = "whose answer is asked for by itself; set it to auto, or student.target to rationale_then_answer"
        yield where, f"is {voices}, but student.target is multitask, {told}"
    elif target == "rationale_then_answer" and voices == DIRECT:
        yield where, f"is direct, but student.target is {target}, which has no answer by itself; set it to auto"
    elif voices in (VOTE, BEST) and not learnt_voices(params):
        yield where, f"is {voices}, but corpus.teachers has no teacher with a weight above 0; set it to auto"
    elif voices not in WAYS and voices not in learnt_voices(params):
        yield where, f"is {voices}, whose weight in the loss is 0, so none was learnt from; set it to auto"
    elif taken and how_asked(params) != DIRECT:
        yield where, f"a teacher is called {taken[0]}, which is a way of asking; give it another name in `teachers`"
    elif params.score.samples > 1 and how_asked(params) == DIRECT:
        told = "and direct answers are not drawn; set it to 1, or student.target to rationale_then_answer"
        yield ("score", "samples"), f"is {params.score.samples}, but the students are asked directly, {told}"


def _allowed(params: Params) -> str:
    teachers = params.corpus.teachers
    named = f", or a teacher of corpus.teachers ({', '.join(teachers)})" if teachers else ""
    close = get_close_matches(params.score.voices, [*WAYS, *teachers], n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"allowed is {', '.join(WAYS)}{named}{meant}"

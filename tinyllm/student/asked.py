"""A student's answers as `score.voices` asks for them: directly, in one teacher's voice, or by the vote of all."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from tinyllm.models.loaded import LoadedModel
from tinyllm.params.asking import BEST, DIRECT, VOTE, how_asked, learnt_voices
from tinyllm.params.schema import Params
from tinyllm.records.questions import Question
from tinyllm.student.generate import Progress, match_answer
from tinyllm.student.predict import passes, predict
from tinyllm.student.voices import Sampling, Voice, ask_voices, is_right
from tinyllm.student.vote import (
    VOICES,
    VoiceRecord,
    best_voice,
    longest_text,
    on_record,
    read_voices,
    vote,
    vote_weights,
)

LEAST = sys.float_info.min  # a probability of 0 counts as this one, for it has no logarithm


def predict_as_asked(
    model: LoadedModel,
    folder: Path,
    questions: Sequence[Question],
    params: Params,
    progress: Progress = lambda n: None,
) -> list[dict]:
    """Return one prediction a question: of a direct answer what `predict` returns.

    Of voices, `scores` are the logarithms of the vote's probabilities; `text` is the vote's answer of free text, and None of
    options, of which no text is written but the rationales. `voices` has what each said.

    Args:
        folder: the student's, which has its voices' accuracies on valid
        progress: told of every pass over a question, see `passes_as_asked`

    Raises:
        ValueError: the best voice is asked for and not known, or the student computes no finite numbers.
    """
    if how_asked(params) == DIRECT:
        return predict(model, questions, params, progress)
    record = read_voices(folder)
    teachers = asked_teachers(params, record, folder)
    weights = weights_of(record, teachers, folder)
    asked = ask(model, questions, teachers, params, record, progress)
    return [_prediction(model, q, voices, weights) for q, voices in zip(questions, asked, strict=True)]


def passes_as_asked(questions: Sequence[Question], params: Params) -> int:
    """How often `predict_as_asked` goes over each question: once for each text of each voice, or as `passes` has it."""
    how = how_asked(params)
    if how == DIRECT:
        return passes(questions, params.score.texts)
    return params.score.samples * (len(learnt_voices(params)) if how == VOTE else 1)


def asked_teachers(params: Params, record: VoiceRecord | None, folder: Path) -> list[str]:
    """Return in whose voices the student is asked; none where it is asked directly.

    A vote leaves out who is not on record, and says so.

    Raises:
        ValueError: no voice is on record that could be asked.
    """
    how, learnt = how_asked(params), learnt_voices(params)
    if how == DIRECT:
        return []
    if how == BEST:
        return [best_voice(record, learnt, folder)]
    if how != VOTE:
        return [how]
    asked = on_record(record, learnt)
    if not asked:
        told = f"{folder / VOICES} has no accuracy on valid of any voice"
        raise ValueError(f"score.voices: is {params.score.voices}, but {told}; run dvc repro train, or name a voice")
    if out := [teacher for teacher in learnt if teacher not in asked]:
        told = f"has no accuracy on valid of {', '.join(out)}, of whom so nothing was learnt: no vote"
        print(f"note: {folder / VOICES} {told}", file=sys.stderr)
    return asked


def weights_of(record: VoiceRecord | None, teachers: Sequence[str], folder: Path) -> dict[str, float]:
    """Return what each voice of a vote weighs, and say so where all weigh the same for want of a record."""
    if len(teachers) == 1:
        return {teachers[0]: 1.0}
    if record is None:
        print(f"note: {folder / VOICES} is not there, so all voices weigh the same", file=sys.stderr)
    return vote_weights(record, teachers)


def ask(
    model: LoadedModel,
    questions: Sequence[Question],
    teachers: Sequence[str],
    params: Params,
    record: VoiceRecord | None,
    progress: Progress = lambda n: None,
) -> list[dict[str, Voice]]:
    """Return what the voices say, by question and teacher, with the samples and the limit that scoring has."""
    limit = longest_text(record, params.student.max_target_tokens)
    sampling = Sampling(params.score.samples, params.score.temperature)
    return ask_voices(model, questions, teachers, params, progress, limit, sampling)


def _prediction(model: LoadedModel, question: Question, voices: dict[str, Voice], weights: dict[str, float]) -> dict:
    voted, total = vote(voices, weights, question), math.fsum(weights.values())
    row: dict = {"id": question.id, "gold": question.answer, "choice": voted.choice}
    if question.free:
        matched = match_answer(voted.answer, question.gold, model.plain_text)
        row |= {"scores": [], "text": voted.answer, "matched": matched}
    else:
        row |= {"scores": _logarithms(voted.probabilities), "text": None, "matched": None}
    told = {name: _told(model, question, voice, weights[name] / total) for name, voice in voices.items()}
    return row | {"voices": told}


def _told(model: LoadedModel, question: Question, voice: Voice, share: float) -> dict:
    """What a prediction keeps of a voice."""
    if question.free:
        said: dict = {"answer": voice.answer, "matched": is_right(voice, question, model.plain_text)}
    else:
        said = {"choice": voice.choice, "scores": _logarithms(voice.probabilities)}
    return {"rationale": voice.rationale, **said, "weight": round(share, 4), "tokens": voice.tokens}


def _logarithms(probabilities: Sequence[float]) -> list[float]:
    return [round(math.log(max(sure, LEAST)), 4) for sure in probabilities]

"""A trained student's answers to questions, asked as scoring asks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyllm.models.loaded import LoadedModel
from tinyllm.params.schema import Params
from tinyllm.records.predictions import probabilities
from tinyllm.records.questions import Question, input_text
from tinyllm.student.asked import ask, asked_teachers, weights_of
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.generate import Written, write_texts
from tinyllm.student.predict import CPU_TOKENS, choose, encode_questions, option_scores, rounded
from tinyllm.student.target_text import join
from tinyllm.student.voices import Voice
from tinyllm.student.vote import VoiceRecord, read_voices, vote

Fields = dict[str, Any]  # of an answer, as `tinyllm ask --json` prints them


@dataclass(frozen=True)
class AskedStudent:
    """A student and how `score.voices` asks it, which is the same for every question."""

    model: LoadedModel
    params: Params
    record: VoiceRecord | None  # of its voices, on valid
    teachers: list[str]  # in whose voices it is asked; none where it is asked directly
    weights: dict[str, float]  # of their votes
    cpu_tokens: int = CPU_TOKENS  # the most in one pass over options on a processor


@dataclass(frozen=True)
class Answer:
    """What a student says to one question: by itself, or by the vote of its voices."""

    text: str  # the option's, or free text
    choice: int | None  # None of free text
    probabilities: list[float]  # of the options; empty of free text
    ended: bool = True  # False of a free text that was cut off at the limit
    rationales: dict[str, Written] = field(default_factory=dict)  # by teacher, apart from a direct answer
    voices: dict[str, Voice] = field(default_factory=dict)  # by teacher, where it is asked in voices
    shares: dict[str, float] = field(default_factory=dict)  # of the vote, by teacher; who is missing has none

    @property
    def fields(self) -> Fields:
        """The `answer` as text and, of a question with options, its index `choice` and all `probabilities`.

        Besides `rationales` where they were asked for, or else `voices`: what each said.
        """
        found: Fields = {"answer": self.text}
        if self.choice is not None:
            found |= {"choice": self.choice, "probabilities": [round(sure, 4) for sure in self.probabilities]}
        if self.rationales:
            found["rationales"] = {teacher: written.text for teacher, written in self.rationales.items()}
        if self.voices:
            found["voices"] = {
                teacher: _told(voice, self.shares.get(teacher, 0.0)) for teacher, voice in self.voices.items()
            }
        return found


def asked_as_scored(model: LoadedModel, folder: Path, params: Params) -> AskedStudent:
    """Return a student as it is to be asked; a note on stderr says whose voice has no vote.

    Args:
        folder: the student's, which has its voices' accuracies on valid

    Raises:
        ValueError: the best voice is asked for and not known.
    """
    record = read_voices(folder)
    teachers = asked_teachers(params, record, folder)
    return AskedStudent(model, params, record, teachers, weights_of(record, teachers, folder) if teachers else {})


def answer_questions(
    student: AskedStudent, questions: Sequence[Question], teachers: Sequence[str] = ()
) -> list[Answer]:
    """Return the student's answer to each question, all of them read together.

    Args:
        questions: all with options, or all without; their own `answer` is not looked at
        teachers: in whose voices rationales are added, where the student is asked directly, or else further voices that
            have no vote

    Raises:
        ValueError: the student computes no finite numbers.
    """
    if student.teachers:
        return _voted(student, questions, teachers)
    model, params = student.model, student.params
    batch_tokens = params.runtime.batch_tokens
    inputs, options, _ = encode_questions(questions, InputEncoder(params.student, model), params.student.answer_prefix)
    with rounded(model, params.score.precision):
        if questions[0].free:
            written = write_texts(model, inputs, params.score.max_new_tokens, batch_tokens)
            found = [Answer(text.text, None, [], text.ended) for text in written]
        else:
            normalize, most = params.score.normalize, student.cpu_tokens
            rows = option_scores(model, inputs, options, batch_tokens, normalize, cpu_tokens=most)
            chosen = zip(questions, rows, strict=True)
            found = [Answer(q.choices[choose(row)], choose(row), probabilities(row)) for q, row in chosen]
    for teacher in teachers:
        for answer, rationale in zip(found, explain(student, questions, teacher), strict=True):
            answer.rationales[teacher] = rationale
    return found


def explain(student: AskedStudent, questions: Sequence[Question], teacher: str) -> list[Written]:
    """Return what the student writes in a teacher's voice, as it was learnt.

    Behind a rationale that comes first, that is the option which the voice chooses, or its own answer in free text.
    """
    params = student.params
    if params.student.target == "rationale_then_answer":
        asked = ask(student.model, questions, [teacher], params, student.record)
        return [_as_learnt(voices[teacher]) for voices in asked]
    encoder = InputEncoder(params.student, student.model)
    prefix = params.student.rationale_prefix.replace("{teacher}", teacher)
    inputs = encoder.questions(prefix, [(q.context, input_text(q)) for q in questions], TruncationCounts())
    return write_texts(student.model, inputs, params.student.max_target_tokens, params.runtime.batch_tokens)


def context_was_cut(student: AskedStudent, question: Question) -> bool:
    """Return whether the head of a question's context is left out, since it is longer than student.max_input_tokens."""
    settings = student.params.student
    prefixes = [settings.rationale_prefix.replace("{teacher}", teacher) for teacher in student.teachers]
    prefix = max(prefixes, key=len, default=settings.answer_prefix)
    cuts = TruncationCounts()
    InputEncoder(settings, student.model).question(prefix, question.context, input_text(question), cuts)
    return bool(cuts.inputs_cut)


def _voted(student: AskedStudent, questions: Sequence[Question], others: Sequence[str]) -> list[Answer]:
    """Return the vote of the voices asked, and what each said, those without a vote too."""
    teachers = list(dict.fromkeys([*student.teachers, *others]))
    total = sum(student.weights.values())
    shares = {teacher: round(weight / total, 4) for teacher, weight in student.weights.items()}
    found = []
    asked = ask(student.model, questions, teachers, student.params, student.record)
    for question, voices in zip(questions, asked, strict=True):
        voted = vote({teacher: voices[teacher] for teacher in student.teachers}, student.weights, question)
        found.append(Answer(voted.answer, voted.choice, voted.probabilities, voices=voices, shares=shares))
    return found


def _as_learnt(voice: Voice) -> Written:
    text = voice.rationale if voice.answer is None else join("rationale_then_answer", voice.rationale, voice.answer)
    return Written(text, voice.ended or voice.choice is not None)


def _told(voice: Voice, share: float) -> Fields:
    """What is printed of a voice; `weight` is its share of the vote."""
    fields: Fields = {"rationale": voice.rationale, "answer": voice.answer, "weight": share}
    if voice.choice is None:
        return fields
    return fields | {"choice": voice.choice, "probabilities": [round(value, 4) for value in voice.probabilities]}

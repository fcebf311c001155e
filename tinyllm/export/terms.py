"""Under which terms the data and the teachers of a student stand, and whether they allow to name a licence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tinyllm.datasets import strong
from tinyllm.datasets.download import OTHERS
from tinyllm.datasets.release import LLAMA_NOTE, TERMS
from tinyllm.datasets.strong import RECORDINGS
from tinyllm.export.loading import named
from tinyllm.params.schema import Params
from tinyllm.params.teacher_entries import RELEASED

LICENCES = {"casebook": "mit", "obqa": "apache-2.0", "arc": "cc-by-sa-4.0", "piqa": "afl-3.0", "pubmedqa": "mit"}


def licence(params: Params, teachers: Sequence[str]) -> str | None:
    """Return the hub's key of the licence, where every source of the student has clear terms that fit together."""
    return data_licence(params, teachers) if params.student.origin == "scratch" else None


def data_licence(params: Params, teachers: Sequence[str]) -> str | None:
    """Return the hub's key of the licence of questions and rationales, where all of them have clear terms that fit together."""
    known = all(name == "flan_t5_xl" or params.teachers[name].backend == "expert" for name in teachers)
    return LICENCES.get(params.data.dataset) if known else None


def licence_note(params: Params, teachers: Sequence[str]) -> str:
    if licence(params, teachers):
        return "The licence above is that of the data; the teachers' and the code's ask for no more than it does."
    return "No licence is stated for the weights: choose one only after reading the terms of every source named here."


def corpus_licence_note(params: Params, teachers: Sequence[str]) -> str:
    if data_licence(params, teachers):
        return "The licence above is that of the questions; the teachers' ask for no more than it does."
    return "No licence is stated for the corpus: choose one only after reading the terms of every source named here."


def teacher_terms(name: str, params: Params) -> tuple[str, str]:
    """Return what a teacher is, and the terms of what it wrote."""
    teacher = params.teachers[name]
    if teacher.backend == "expert":
        return "rules of this project, no language model", "MIT"
    if teacher.backend != "recorded":
        return f"{named(teacher.model)} ({teacher.backend})", _model_terms(teacher.model)
    if name == "llama2_chat_7b":
        return "LLaMA-2-chat 7B, recorded", _model_terms(name)
    if name == "flan_t5_xl" and params.data.dataset in RELEASED:
        return "FLAN-T5 xlarge, recorded in the TinyLLM authors' release", "Apache-2.0"
    if recording := RECORDINGS.get(params.data.dataset, {}).get(name):
        return f"{name}, recorded with {params.data.dataset} ({OTHERS[recording.source].name})", recording.terms
    return "recorded with the data", "those of whoever wrote the rationales; not known here"


def _model_terms(model: str) -> str:
    if re.search(r"llama[-_ ]?2", model, re.IGNORECASE):
        return LLAMA_NOTE.partition(": ")[2]
    if "llama" in model.lower():
        return "Llama's licence sets terms for models trained on its outputs, their names among them; it differs by version"
    return "those of the model, and of the service that ran it, for what is trained on its outputs"


def data_terms(dataset: str) -> str:
    if dataset == "casebook":
        return "MIT, as the code"
    known = {**TERMS, **strong.TERMS}
    return known.get(dataset, "those of its makers; not known here")

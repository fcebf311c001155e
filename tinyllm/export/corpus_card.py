"""The dataset card of an exported corpus: what is in it, whose it is, under which terms, and how it is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from huggingface_hub import DatasetCardData

from tinyllm.evaluation.wording import corpus_notes
from tinyllm.export.source import described, hub_id, languages, set_name
from tinyllm.export.template import fill
from tinyllm.export.terms import corpus_licence_note, data_licence, data_terms, teacher_terms
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import read_json
from tinyllm.records.questions import iter_questions

Counts: TypeAlias = dict[str, dict[str, int]]  # rows by configuration and split
TEST = Path("data/questions/test.jsonl")
SIZES = [  # the hub's names of how many rows a set has, each for fewer than its number
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
]


def corpus_card(params: Params, counts: Counts, commit: str | None, differed: bool) -> str:
    """Return the card.

    Args:
        counts: of the files that were written
        commit: of git, None where it is not known
        differed: whether a tracked file differed from it

    Raises:
        ValueError: metrics/corpus.json is missing.
    """
    metrics, teachers = read_json("metrics/corpus.json"), params.corpus.teachers
    return fill(
        "corpus_card.md.j2",
        {
            "front": _front(params, counts),
            "name": set_name(params),
            "what": described(params),
            "terms": data_terms(params.data.dataset),
            "counts": counts,
            "teachers": [_teacher(name, params, metrics["teachers"][name]) for name in teachers],
            "notes": corpus_notes(metrics),
            "licence": corpus_licence_note(params, teachers),
            "student": params.student,
            "commit": commit,
            "differed": differed,
        },
    )


def _front(params: Params, counts: Counts) -> str:
    """Return the YAML that the hub and `datasets` read."""
    rows = sum(counts["default"].values())
    _, question = next(iter_questions(TEST))
    known = "original" if params.data.dataset == "casebook" else hub_id(params)
    data = DatasetCardData(
        license=data_licence(params, params.corpus.teachers),
        language=languages(params),
        pretty_name=f"TinyLLM corpus: {set_name(params)}",
        size_categories=next((name for most, name in SIZES if rows < most), "10M<n<100M"),
        task_categories=["question-answering" if question.free else "multiple-choice", "text-generation"],
        source_datasets=[known] if known else None,
        tags=["tinyllm", "distillation", "rationales"],
        configs=[
            {
                "config_name": kind,
                **({"default": True} if kind == "default" else {}),
                "data_files": [{"split": split, "path": f"{kind}/{split}.parquet"} for split in splits],
            }
            for kind, splits in counts.items()
        ],
    )
    return data.to_yaml(original_order=["license", "language", "pretty_name"]) + "\n"


def _teacher(name: str, params: Params, counts: Mapping[str, Any]) -> dict[str, Any]:
    what, terms = teacher_terms(name, params)
    splits = {split: counts.get(split, {"kept": 0, "quarantined": 0, "reasons": {}}) for split in ("train", "valid")}
    reasons: Counter[str] = Counter()
    for found in splits.values():
        reasons.update(found["reasons"])
    why = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common())
    return {"name": name, "what": what, "terms": terms, "splits": splits, "why": why}

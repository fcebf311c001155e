"""A finished toy run that a student can be exported from: the metrics of tests/runs.py, and what the card tells besides."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tests.runs import SCORE, SEEDS, TRAINING, put_run
from tests.toys import toy_params
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import write_json

RULES = {
    "backend": "expert",
    "kind": "signs",
    "error_rate": 0.1,
    "decline_rate": 0.0,
    "blind_error_rate": 0.5,
    "misleading_rate": 0.0,
    "padding": 0,
    "seed": 1,
}


@cache
def _unchanged() -> Params:
    return toy_params(
        train__seeds=SEEDS, teachers__ann=RULES, teachers__bob=RULES
    )  # reading YAML takes a tenth of a second


def exported_params(**changes: Any) -> Params:
    """Params with the run's seeds and its teachers `ann` and `bob`, both of them rules; changed as by `toy_params`."""
    values = _unchanged().model_dump()
    for path, value in changes.items():
        section, key = path.split("__")
        values[section][key] = value
    return Params.model_validate(values)


def put_metrics(root: Path) -> None:
    """Write all that the card reads; the student of seed 3 has three of four test questions right, that of 7 two."""
    put_run(root)
    write_json(root / "metrics/score.json", {**SCORE, "exact_match": 0.5, "unmatched": 0.125})
    write_json(root / "metrics/questions.json", {"train": 3, "valid": 2, "test": 4})
    for seed in SEEDS:
        write_json(root / f"metrics/train/{seed}.json", {**TRAINING[seed], "parameters": 210304})

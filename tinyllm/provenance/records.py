"""The record of what a stage used, metrics/used/STAGE.json: where it lies, and whether params.yaml still says the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyllm.params.load import PATH
from tinyllm.params.yaml_file import read_yaml
from tinyllm.provenance.definition import value_at
from tinyllm.records.jsonl import read_json, write_json

USED = Path("metrics/used")
DIGITS = 12  # of a digest, as metrics show it
MOST_SHOWN = 3  # keys that a message names
REMEDY = "run dvc repro, with --force where it finds nothing to do"


def record_path(stage: str) -> Path:
    """Return where the record of a stage lies: of train@1 metrics/used/train/1.json."""
    return USED / f"{stage.replace('@', '/')}.json"


def digest_of(values: Mapping[str, Any]) -> str:
    """Return the digest of params, the same whatever their order."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def write_record(stage: str, values: Mapping[str, Any]) -> None:
    """Write the record of a stage.

    Args:
        values: by dotted key what the stage used of params.yaml
    """
    write_json(record_path(stage), {"stage": stage, "digest": digest_of(values), "params": dict(values)})


def stages_of(values: Mapping[str, Any]) -> list[str]:
    """Return every stage up to `score` that a params.yaml asks for."""
    teachers = value_at(values, "corpus.teachers") or ()
    seeds = value_at(values, "train.seeds") or ()
    asked = [f"{stage}@{teacher}" for stage in ("query", "exam") for teacher in teachers]
    return ["download", *asked, "assemble", *(f"train@{seed}" for seed in seeds), "score"]


def check_run(root: Path = Path(), kinds: Collection[str] | None = None) -> None:
    """Refuse the run in a project's folder where it is not that of the folder's params.yaml.

    Args:
        kinds: the stages that count, such as `query` for those of all teachers; None is every one up to `score`

    Raises:
        ValueError: a stage has not run, or used other params than the file has now; one line.
    """
    if fault := find_fault(root, kinds):
        raise ValueError(f"{fault}; {REMEDY}")


def find_fault(root: Path = Path(), kinds: Collection[str] | None = None) -> str:
    """Return why the run in a project's folder is not that of the folder's params.yaml; "" where it is.

    Args:
        kinds: as of `check_run`
    """
    values = read_yaml(root / PATH)
    for stage in stages_of(values):
        if kinds is not None and stage.partition("@")[0] not in kinds:
            continue
        path = root / record_path(stage)
        if not path.is_file():
            return f"{path}: no such file, so that it is not known what {stage} used"
        record = read_json(path)
        if fault := fault_of(record, values) or metrics_fault(root, stage, record):
            return f"{path}: {fault}"
    return ""


def stage_fault(stage: str) -> str:
    """Return how a stage that has run here used other params than params.yaml has now; "" where it did not, or has not run."""
    path = record_path(stage)
    fault = fault_of(read_json(path), read_yaml(PATH)) if path.is_file() else ""
    return f"{path}: {fault}" if fault else ""


def metrics_fault(root: Path, stage: str, record: Mapping[str, Any]) -> str:
    """Return how a stage's metrics differ from its record: they name its digest where DVC shows them; "" where they agree."""
    kind, _, item = stage.partition("@")
    path = root / ("metrics/score.json" if kind == "score" else f"metrics/train/{item}.json")
    if kind not in ("train", "score") or not path.is_file():
        return ""
    found = read_json(path).get("params")
    return "" if found == record.get("digest") else f"{path} is of other params, {found} and not {record.get('digest')}"


def fault_of(record: Mapping[str, Any], values: Any, where: str = str(PATH)) -> str:
    """Return how a stage's record differs from params; "" where it does not.

    Args:
        values: what params.yaml holds, nested or by dotted key
        where: what a message names as their place
    """
    used = record.get("params")
    if not isinstance(used, dict) or record.get("digest") != digest_of(used):
        return "is damaged: its digest is not that of its params"
    now = {key: values[key] if key in values else value_at(values, key) for key in used}
    changes = list(differences(used, now))
    return f"{record.get('stage')} was run with {in_words(changes, where)}" if changes else ""


def in_words(changes: Sequence[tuple[str, Any, Any]], where: str = str(PATH)) -> str:
    """Return differences as a message has them."""
    shown = [f"{key} {_shown(then)}, and {where} has {_shown(now)}" for key, then, now in changes[:MOST_SHOWN]]
    more = len(changes) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def differences(then: Any, now: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (dotted key, then, now) of every value that differs."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*then, *now]):
            yield from differences(then.get(key), now.get(key), f"{prefix}.{key}" if prefix else str(key))
    elif then != now:
        yield prefix, then, now


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 60 else f"{text[:60]}..."

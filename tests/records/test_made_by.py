"""A file of the pipeline that is missing is told with the stage that writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tinyllm.records.jsonl import read_json, read_jsonl
from tinyllm.records.made_by import remedy

ROOT = Path(__file__).resolve().parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
OUTPUTS = [
    (stage, (path if isinstance(path, str) else next(iter(path))).replace("${item}", "ann"))
    for stage, asked in STAGES.items()
    for kind in ("outs", "metrics", "plots")
    for path in asked.get("do", asked).get(kind, ())
]


@pytest.mark.parametrize(("stage", "path"), OUTPUTS)
def test_every_output_of_dvc_yaml_is_known(stage: str, path: str) -> None:
    file = path if "." in path.rpartition("/")[2] else f"{path}/train.jsonl"
    assert remedy(file) == remedy(f"/srv/clone/{file}") == f"; run dvc repro {stage}"


@pytest.mark.parametrize(
    "path", ["own/train.jsonl", "params.yaml", "mydata/questions/train.jsonl", "metrics/other.json"]
)
def test_a_file_of_the_users_own_has_no_stage(path: str) -> None:
    assert remedy(path) == ""


def test_a_reader_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data/questions/train\.jsonl: no such file; run dvc repro download$"):
        read_jsonl(tmp_path / "data/questions/train.jsonl")
    with pytest.raises(ValueError, match=r"metrics/score\.json: no such file; run dvc repro score$"):
        read_json(tmp_path / "metrics/score.json")
    with pytest.raises(ValueError, match=r"own\.jsonl: no such file$"):
        read_jsonl(tmp_path / "own.jsonl")

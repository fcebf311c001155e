"""What git and DVC are asked for: files of commits, and the metrics that runs are compared by."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML

from tests.dvc_project import git
from tinyllm.experiments.dvc_experiments import read_blobs

ROOT = Path(__file__).resolve().parents[2]


def test_files_of_commits_are_read_from_the_folder_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    project = tmp_path / "below/project"
    project.mkdir(parents=True)
    texts = {"below/project/a.json": "{}\n", "below/project/ä.txt": "äöü\n\nend", "a.json": "[]"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Start")
    asked = ["main:./a.json", "main:./none.json", "main:./ä.txt", "main:a.json", "none:./a.json"]
    assert read_blobs(asked, project) == ["{}\n", None, "äöü\n\nend", "[]", None]


def test_runs_are_compared_by_their_score_alone() -> None:
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    asked = {name: stage.get("do", stage) for name, stage in stages.items()}
    assert [name for name, stage in asked.items() if "metrics" in stage] == ["score"]
    uncached = {
        kind: {
            path: options
            for stage in asked.values()
            for out in stage.get(kind, [])
            if isinstance(out, dict)
            for path, options in out.items()
        }
        for kind in ("outs", "plots")
    }
    committed = {"cache": False}  # in git, so that a clone has them without DVC's cache
    assert uncached["outs"] == {
        "report": {"persist": True},  # never from DVC's run cache, which has no page
        "metrics/used/report.json": committed,
    }
    assert {path: options for path, options in uncached["plots"].items() if path.endswith(".json")} == {
        "metrics/questions.json": committed,
        "metrics/query/${item}.json": committed,
        "metrics/exam/${item}.json": committed,
        "metrics/corpus.json": committed,
        "metrics/train/${item}.json": committed,
        **{f"metrics/used/{name}.json": committed for name in ("download", "assemble", "score")},
        **{f"metrics/used/{name}/${{item}}.json": committed for name in ("query", "exam", "train")},
    }

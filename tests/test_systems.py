"""Other systems: Windows has no fcntl and no resource, and what needs neither must not ask for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WITHOUT = """
import runpy, sys

sys.modules |= {"fcntl": None, "resource": None}  # to import them raises ImportError
from tinyllm.cli.main import main

main(["check"])
for stage, *arguments in (["download"], ["query", "signs"], ["query", "care"], ["exam", "signs"], ["assemble"]):
    sys.argv = [f"{stage}.py", *arguments]
    runpy.run_module(f"stages.{stage}", run_name="__main__")
import tinyllm.experiments.running.workers
"""


def test_check_and_the_data_stages_run_without_fcntl_and_resource(tmp_path: Path) -> None:
    for name in ("stages", "tinyllm", "dvc.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(params.replace("    test: 600", "    test: 40"), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "data      casebook" and "train 400, valid 200, test 40 questions" in said
    assert (tmp_path / "data/corpus/train.jsonl").read_text("utf-8").count("\n") == 400

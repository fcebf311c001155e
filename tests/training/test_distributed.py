"""Starting a stage in several processes, and what keeps one from starting itself without end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.toys import toy_params
from tinyllm.training.distributed import STARTED, launch

PLAIN = "compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nmixed_precision: 'no'\nnum_machines: 1\nuse_cpu: true\n"
STAGE = """
import sys
from tests.toys import toy_params
from tinyllm.training.distributed import launch
runtime = toy_params().runtime.model_copy(update={"accelerate_config": "plain.yaml", "processes": int(sys.argv[1])})
try:
    print("waited" if launch(runtime, "stage", sys.argv[1]) else "trained", flush=True)
except ValueError as error:
    sys.exit(str(error))
"""


def test_one_process_without_a_configuration_starts_nothing() -> None:
    assert not launch(toy_params().runtime, "no.such.module", "1")


def test_what_torchrun_started_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert not launch(toy_params(runtime__processes=2).runtime, "no.such.module", "1")


def test_what_was_started_as_the_only_one_of_several_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STARTED, "1")
    with pytest.raises(
        ValueError, match=r"^runtime.accelerate_config: plain.yaml starts a single process, but .* is 2; let"
    ):
        launch(toy_params(runtime__processes=2, runtime__accelerate_config="plain.yaml").runtime, "no.such.module", "1")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("distributed_type: FSDP\n", "plain.yaml has distributed_type FSDP; allowed are NO, MULTI_CPU, MULTI_GPU, "),
        ("- 1\n", "plain.yaml has distributed_type None; allowed are "),
        ("a: b: c\n", "plain.yaml is not YAML; let `accelerate config` write it"),
        (None, "plain.yaml: no such file"),
    ],
)
def test_a_configuration_that_shards_the_student_or_is_none_is_refused(
    text: str | None, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("plain.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(fault)):
        launch(toy_params(runtime__accelerate_config="plain.yaml").runtime, "no.such.module", "1")


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "said"), [("1", "trained\nwaited\n"), ("2", "")])
def test_a_configuration_for_one_device_starts_one_process_and_no_more(
    processes: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "plain.yaml").write_text(PLAIN, encoding="utf-8")
    (tmp_path / "stage.py").write_text(STAGE, encoding="utf-8")
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(
        [sys.executable, "-m", "stage", processes],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode, ended.stdout) == (int(processes) - 1, said), ended.stderr
    if processes == "2":
        assert "plain.yaml starts a single process, but runtime.processes is 2" in ended.stderr

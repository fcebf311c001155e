"""A task of EleutherAI's lm-evaluation-harness that asks a student as this project does, so that others can check its score."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tinyllm.export.loading import Loading
from tinyllm.export.source import set_name
from tinyllm.params.asking import DIRECT, how_asked
from tinyllm.params.schema import Params
from tinyllm.records.questions import LETTERS

FILE = "lm_eval.yaml"
QUESTIONS = "data/questions/test.jsonl"
BODY = (  # what `input_text` writes, with the context before it
    r"{% if context %}{{ context ~ '\n' }}{% endif %}{{ question ~ '\nAnswer Choices:' }}"
    r"{% for choice in choices %}{{ '\n(' ~ '" + LETTERS + r"'[loop.index0] ~ ') ' ~ choice }}{% endfor %}"
)


@dataclass(frozen=True)
class HarnessTask:
    """The task's file, and the arguments that the harness is to be called with besides."""

    name: str
    text: str
    arguments: str


def harness_task(student: Path, params: Params, loading: Loading, revision: str | None) -> HarnessTask | None:
    """Return the task of a student's folder; None where the harness cannot ask as this project does.

    That is so where a student answers in voices or has its prefix behind the question, where scores are per token, and where
    an option right behind the chat template has other tokens than by itself. An option's likelihood has its end-of-sequence
    in it, which so stands at the end of the harness's options.

    Args:
        revision: of the model that an adapter belongs to
    """
    asked = params.student
    if how_asked(params) != DIRECT or asked.shared_encoder or params.score.normalize != "none":
        return None
    tokenizer = AutoTokenizer.from_pretrained(student, trust_remote_code=False)
    if asked.chat and not _goes_on_apart(tokenizer):
        return None
    name = f"tinyllm_{re.sub(r'[^a-z0-9]+', '_', set_name(params).lower()).strip('_')}"
    behind = asked.response if loading["causal"] and not asked.chat else ""
    end = _quoted(str(tokenizer.eos_token))
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": QUESTIONS}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": _literal(asked.answer_prefix) + BODY + _literal(behind),
        "doc_to_choice": "{% set ended = [] %}{% for choice in choices %}"
        "{% set _ = ended.append(choice ~ " + end + ") %}{% endfor %}{{ ended }}",
        "doc_to_target": "{{ answer if answer is number else answer_index }}",  # ours, or an exported corpus's
        "target_delimiter": loading["space"] if loading["causal"] else "",
        "metric_list": [{"metric": "acc"}],
        "metadata": {"version": 1},
    }
    file, writer = io.StringIO(), YAML()
    writer.default_flow_style = False
    writer.width = 10**6
    writer.dump(task, file)
    return HarnessTask(name, file.getvalue(), _arguments(tokenizer, params, loading, revision))


def _arguments(tokenizer: PreTrainedTokenizerBase, params: Params, loading: Loading, revision: str | None) -> str:
    base = loading["base"]
    model = f"pretrained={base},peft=FOLDER" if base else "pretrained=FOLDER"
    if base and revision:
        model += f",revision={revision}"
    model += ",dtype=float32"
    if loading["causal"]:
        model += f",add_bos_token={not params.student.chat and _begins(tokenizer)}"
    return model + (" --apply_chat_template" if params.student.chat and loading["causal"] else "")


def _begins(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a text begins with a token of its own."""
    begin = tokenizer.bos_token_id
    return begin is not None and tokenizer("a").input_ids[0] == begin


def _goes_on_apart(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether what follows the chat template has the tokens that it has by itself; the harness reads both as one text."""
    turns = [{"role": "user", "content": "Which?"}]
    head = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    whole, start, rest = tokenizer([f"{head}This", head, "This"], add_special_tokens=False).input_ids
    return bool(whole == start + rest)


def _literal(text: str) -> str:
    return "{{ " + _quoted(text) + " }}" if text else ""


def _quoted(text: str) -> str:
    """Return text as a literal of a template."""
    return json.dumps(text, ensure_ascii=False)

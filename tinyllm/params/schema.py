"""The settings of every part, typed and frozen; their values stand in params.yaml, which tinyllm/params reads.

DVC reads the file, not this module: a default here never changes, for it would change results behind DVC's back. Only keys
that older params.yaml files lack have one, and it means what those files meant.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tinyllm.params.teacher_entries import Other, Released, Teacher
from tinyllm.params.value_types import (
    Ascii,
    Count,
    CountOrAll,
    Place,
    Positive,
    Section,
    Seed,
    Share,
    Text,
    Trackers,
    Weight,
)


class Take(Section):
    train: Count | None
    valid: Count | None
    test: Count | None


class Casebook(Section):
    train: Count
    valid: Count
    test: Count
    clue_words: Annotated[int, Field(ge=1, le=20)]
    clues: Annotated[int, Field(ge=1, le=3)]
    fillers: Count
    filler_pool: Count


class HubSplits(Section):
    """The set's own name of each split, or a slice of one such as `train[:10%]`."""

    train: Text
    valid: Text
    test: Text


class HubColumns(Section):
    """Where a row keeps each field; a dot descends, so `choices.text` is the list `text` inside `choices`.

    `choices` is one column that holds a list of texts, or several of one text each: `ending0,ending1`. `labels` is one
    column that holds the options' labels in order, or the labels themselves: `A,B,C,D`. `answer` is then a label;
    without labels it is the gold option's index from 0 or its full text. Without `choices` the set is answered in free
    text, and `answer` is that. `context` is text or a list of texts. Without an `id` the rows are numbered from 1.
    `rationales` has the column of each recorded teacher's rationales, by its name; left out, there is none.
    """

    question: Text
    choices: Text | None
    answer: Text
    labels: Text | None
    context: Text | None
    id: Text | None
    rationales: dict[str, Text] = {}


class Hub(Section):
    """Which set: an id on the hub with the commit of a revision, or a local folder of Parquet, JSON or CSV files."""

    path: Place
    name: Place | None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None
    splits: HubSplits
    columns: HubColumns


class Data(Section):
    dataset: Literal["casebook", Released, Other, "jsonl", "hub"]
    seed: Seed
    drop_leaks: bool
    on_bad_row: Literal["stop", "drop"] = "stop"
    split_context: bool = False
    labelled: Count | None = None
    take: Take
    casebook: Casebook
    folder: Place
    hub: Hub


class Prompting(Section):
    instruction: str
    examples: Annotated[int, Field(ge=0)]
    selection: Literal["random", "similar"]
    example_rationales: Literal["none", "bootstrap"]
    teacher_forcing: bool
    seed: Seed


class Audit(Section):
    min_words: Annotated[int, Field(ge=0)]
    max_words: Count
    min_distinct: Share
    drop_contradictions: bool
    drop_unconcluded: bool


class Corpus(Section):
    teachers: tuple[str, ...]
    selection: Literal["all", "best", "helpful", "learnable"]
    samples: CountOrAll = 1
    option_probabilities: bool
    thinking: Literal["drop", "keep"]
    max_quarantined: Share
    answers: Literal["gold", "teachers"] = "gold"
    min_agreement: Share = 0.0
    soft_answers: bool = False
    control: Literal["none", "shuffled", "length"] = "none"
    audit: Audit


class Scratch(Section):
    architecture: Literal["seq2seq", "causal"]
    vocabulary: Annotated[int, Field(ge=100)]
    width: Count
    layers: Count
    heads: Count
    feed_forward: Count
    embedding_scale: Positive


class Lora(Section):
    learning_rate: Positive
    rank: Count
    alpha: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    saved: Literal["merged", "adapter"]


class SoftPrompt(Section):
    learning_rate: Positive
    tokens: Count


class Upper(Section):
    learning_rate: Positive
    layers: Count


class Student(Section):
    origin: Literal["scratch", "hub", "local"]
    model: Place | None
    gguf_file: Place | None
    revision: Ascii | None
    trust_remote_code: bool
    tuning: Literal["full", "lora", "prompt", "upper"]
    lora: Lora
    soft_prompt: SoftPrompt
    upper: Upper
    target: Literal["multitask", "rationale_then_answer", "answer_then_rationale"] = "multitask"
    shared_encoder: bool
    chat: bool
    response: str
    max_input_tokens: Annotated[int, Field(ge=8)]
    max_target_tokens: Annotated[int, Field(ge=2)]
    answer_prefix: str
    rationale_prefix: str
    scratch: Scratch | None


class Loss(Section):
    answer: Positive
    alpha: Weight
    teacher_alpha: dict[str, Weight]
    kd: Weight


class Train(Section):
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    epochs: Annotated[int, Field(ge=0)]
    batch_size: Count
    learning_rate: Positive
    schedule: Literal["linear", "cosine", "constant"]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Weight
    max_grad_norm: Positive
    dropout: Annotated[float, Field(ge=0, lt=1)]
    eval_every: Count
    patience: Count
    threads: Count
    match: Literal["none", "steps", "tokens"] = "none"


class Score(Section):
    normalize: Literal["none", "tokens"]
    precision: Literal["fp32", "bf16"]
    texts: bool
    max_new_tokens: Count
    voices: Text = "auto"
    samples: Count = 1
    temperature: Positive = 0.7


class Runtime(Section):
    device: Literal["auto", "cpu", "cuda", "mps"]
    precision: Literal["fp32", "bf16"]
    batch_tokens: Count
    processes: Count
    shard: bool = False
    recompute: bool = False
    cluster: Text | None = None
    checkpoint_steps: Count
    frozen_cache_gb: Weight = 0.0
    report_to: Trackers = ()
    concurrency: Count
    deadline: Positive
    retries: Annotated[int, Field(ge=0)]
    max_cost: Weight | None


class Params(Section):
    data: Data
    prompt: Prompting
    teachers: dict[str, Teacher]
    corpus: Corpus
    student: Student
    loss: Loss
    train: Train
    score: Score
    runtime: Runtime


def alpha(loss: Loss, teacher: str) -> float:
    """The weight of one teacher's rationale."""
    return float(loss.teacher_alpha.get(teacher, loss.alpha))


def most_rationales(corpus: Corpus) -> int | None:
    """How many of a teacher's rationales of a question are learnt from; None is all that passed the audit."""
    return None if corpus.samples == "all" else corpus.samples

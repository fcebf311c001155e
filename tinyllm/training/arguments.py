"""The Trainer's own arguments, from the params."""

from __future__ import annotations

import os
from pathlib import Path

from transformers import TrainingArguments

from tinyllm.models.device import choose_device
from tinyllm.params.schema import Params
from tinyllm.student.tuning import learning_rate


def training_arguments(
    params: Params, seed: int, folder: Path, questions: int, steps: int | None = None
) -> TrainingArguments:
    """Translate the params into the Trainer's own.

    Args:
        steps: that are taken in all; None is as many as `train.epochs` have
    """
    settings, runtime = params.train, params.runtime
    steps_per_epoch = -(-questions // settings.batch_size)
    warmup = settings.warmup * settings.epochs * steps_per_epoch if steps is None else settings.warmup * steps
    most = settings.epochs * steps_per_epoch if steps is None else steps
    arguments = TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        num_train_epochs=settings.epochs,
        max_steps=-1 if steps is None else steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=learning_rate(params),
        lr_scheduler_type="constant_with_warmup" if settings.schedule == "constant" else settings.schedule,
        warmup_steps=int(warmup),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=runtime.precision == "bf16",
        use_cpu=choose_device(runtime) == "cpu",
        eval_strategy="steps",
        eval_steps=min(settings.eval_every * steps_per_epoch, most),
        save_strategy="steps",
        save_steps=runtime.checkpoint_steps,
        save_total_limit=2,  # the last but one stays until the last is whole
        logging_strategy="no",
        report_to="none",  # else a tracker that happens to be installed attaches itself
        remove_unused_columns=False,
        disable_tqdm=True,
        ddp_backend="gloo" if choose_device(runtime) == "cpu" and "RANK" in os.environ else None,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = (
            1  # else the Trainer spreads a step's passes over all GPUs in threads; runtime.processes does better
        )
    return arguments

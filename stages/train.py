"""Train one student on the answers and every teacher's rationales, and keep its best look at valid.

Reads   data/corpus/train.jsonl, data/questions/valid.jsonl
Writes  models/student/SEED/ (a Hugging Face folder), metrics/train/SEED.json, metrics/loss/SEED.tsv, metrics/valid/SEED.tsv

The curves are written anew at each look at valid. A training that was cut off goes on from its last checkpoint, under
.cache/train. `learnable` keeps what it measured under .cache/learnable, a tracker what it is told under .cache/live.
DVC runs it; by hand: python -m stages.train 1
"""

import os
from functools import partial
from pathlib import Path

from stages import run
from tinyllm.params import check_trackers
from tinyllm.project import cache_path
from tinyllm.provenance import StageRun
from tinyllm.records import read_questions, write_json

INPUTS = ("data/corpus/train.jsonl", "data/questions/valid.jsonl")


def main(stage: StageRun, seed: str) -> None:
    params = stage.params
    if seed not in map(str, params.train.seeds):
        raise ValueError(f"seed {seed} is not in train.seeds, which has {', '.join(map(str, params.train.seeds))}")
    check_trackers(params.runtime.report_to)
    from tinyllm.training import is_first, launch  # brings torch, which a mistake in params should not wait for

    if launch(params.runtime, "stages.train", seed):
        return
    from tinyllm.models import choose_device, note_slow_bf16, prepare_torch
    from tinyllm.student import VoiceRecord, pinned, save_student, write_base, write_voices
    from tinyllm.training import CorpusFile, checkpoint_folder, train_student, training_key, write_curves

    prepare_torch(params.train.threads)
    device, precisions = choose_device(params.runtime), {"runtime.precision": params.runtime.precision}
    note_slow_bf16(device, precisions | {"score.precision": params.score.precision})
    params = pinned(params)  # from here on `student.revision` is a commit
    train, valid = CorpusFile(INPUTS[0]), read_questions(INPUTS[1])
    cache = Path(os.environ.get("DVC_ROOT", ".")) / ".cache"
    with checkpoint_folder(cache, training_key(params, int(seed), INPUTS)) as work:
        read, show = stage.has_read_all, partial(write_curves, seed)
        trained = train_student(params, int(seed), train, valid, work, read, cache_path().parent, show)
        if not is_first():
            return
        folder = Path("models/student") / seed
        save_student(trained.model, folder, params.student.max_target_tokens)
        base = write_base(folder, params.student)
        if voices := trained.metrics.get("voices"):
            longest = trained.metrics["longest_text"] or None  # 0 where none ended by itself
            write_voices(folder, VoiceRecord(voices, len(valid), longest))
        origin = {"dataset": params.data.dataset, "params": stage.digest, **base}
        write_json(f"metrics/train/{seed}.json", trained.metrics | origin)
        write_curves(seed, trained.curve, trained.looks)
    print(f"seed {seed}: valid accuracy {trained.metrics['valid_accuracy']} at epoch {trained.metrics['best_epoch']}")


if __name__ == "__main__":
    run(main, __doc__, "seed")

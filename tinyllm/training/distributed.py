"""Start a stage once more as several processes that train together, by torchrun or accelerate's own launcher."""

from __future__ import annotations

import os
import subprocess
import sys

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tinyllm.params.schema import Runtime
from tinyllm.records.jsonl import read_text

# What accelerate may do with a student: copies of it, a step's questions shared out. Under FSDP or DeepSpeed no process holds
# it whole, and the best look's weights, the checkpoints and the look at valid all need it whole.
COPIES = ("NO", "MULTI_CPU", "MULTI_GPU", "MULTI_NPU", "MULTI_XPU")
STARTED = "TINYLLM_STARTED"  # in the environment of what was started here, lest it start itself without end


def launch(runtime: Runtime, module: str, argument: str) -> bool:
    """Run `module` in `runtime.processes` processes and wait; False where this process is one of them, or should train alone.

    Raises:
        ValueError: accelerate's configuration cannot be read, shards the student, or starts one process where several are
            asked for.
        SystemExit: they failed, with their status; what went wrong they have said themselves.
    """
    if "RANK" in os.environ or (runtime.processes == 1 and runtime.accelerate_config is None):
        return False
    if STARTED in os.environ:  # by accelerate as a plain process, as its configuration for a single device has it
        if runtime.processes == 1:
            return False
        raise ValueError(
            f"runtime.accelerate_config: {runtime.accelerate_config} starts a single process, but runtime.processes is "
            f"{runtime.processes}; let `accelerate config` write one for several devices, or leave it empty"
        )
    if runtime.accelerate_config is None:
        command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={runtime.processes}"]
    else:
        _check_configuration(runtime.accelerate_config)
        command = ["-m", "accelerate.commands.launch", "--config_file", runtime.accelerate_config]
        command += ["--num_processes", str(runtime.processes)]
    started = subprocess.run(
        [sys.executable, *command, "-m", module, argument], env={**os.environ, STARTED: "1"}, check=False
    )
    if started.returncode:
        sys.exit(1)
    return True


def is_first() -> bool:
    """Whether this process is the one that writes: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"


def _check_configuration(path: str) -> None:
    where = f"runtime.accelerate_config: {path}"
    try:
        found = YAML(typ="safe").load(read_text(path))
    except YAMLError:
        raise ValueError(f"{where} is not YAML; let `accelerate config` write it") from None
    kind = found.get("distributed_type") if isinstance(found, dict) else None
    if kind not in COPIES:
        raise ValueError(
            f"{where} has distributed_type {kind}; allowed are {', '.join(COPIES)}: a student is copied to every process, "
            "not sharded; one that outgrows a GPU has to be tuned by lora, or be a smaller one"
        )

"""Start a stage once more as several processes that train together, by torchrun or accelerate's own launcher."""

from __future__ import annotations

import os
import subprocess
import sys

from tinyllm.settings import Runtime


def launch(runtime: Runtime, module: str, argument: str) -> bool:
    """Run `module` in `runtime.processes` processes and wait; False where this process is one of them, or should train alone.

    Raises:
        SystemExit: they failed, with their status; what went wrong they have said themselves.
    """
    if "RANK" in os.environ or (runtime.processes == 1 and runtime.accelerate_config is None):
        return False
    if runtime.accelerate_config is None:
        command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={runtime.processes}"]
    else:
        command = ["-m", "accelerate.commands.launch", "--config_file", runtime.accelerate_config]
        command += ["--num_processes", str(runtime.processes)]
    status = subprocess.run([sys.executable, *command, "-m", module, argument], check=False).returncode
    if status:
        sys.exit(1)
    return True


def is_first() -> bool:
    """Whether this process is the one that writes: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"

"""Start a stage once more as several processes that train together, by torchrun."""

from __future__ import annotations

import os
import subprocess
import sys

from tinyllm.params.schema import Runtime


def launch(runtime: Runtime, module: str, argument: str) -> bool:
    """Run `module` in `runtime.processes` processes and wait; False where this process is one of them, or should train alone.

    Raises:
        SystemExit: one of them failed; what went wrong it has said itself.
    """
    if "RANK" in os.environ or runtime.processes == 1:
        return False
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={runtime.processes}"]
    ended = subprocess.run([sys.executable, *torchrun, "-m", module, argument], stdin=subprocess.DEVNULL, check=False)
    if ended.returncode:
        sys.exit(1)
    return True


def is_first() -> bool:
    """Whether this process is the one that writes: the only one, or the first of several."""
    return os.environ.get("RANK", "0") == "0"

"""Ray clusters: how a process connects to one, and what it brings along."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

SECONDS = 10.0  # until a cluster is given up
LOCAL = "local"  # in place of an address: a cluster of this machine, which ends with the process


def connect(address: str, key: str = "runtime.cluster") -> Any:
    """Return the module ray, connected to the cluster; it gets the package as it is here.

    Args:
        key: where the address stands, for a message

    Raises:
        ValueError: ray is not installed, or there is no such cluster.
    """
    try:
        import ray
    except ModuleNotFoundError:
        raise ValueError(f"{key}: needs ray; type pip install 'tinyllm-dvc[cluster]'") from None
    if ray.is_initialized():
        return ray
    package = Path(__file__).parents[1]
    try:
        _reach(address)
        ray.init(
            address=None if address == LOCAL else address,
            runtime_env={"py_modules": [str(package)], "excludes": ["**/__pycache__/"]},
            logging_level="ERROR",
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{key}: no cluster at {address} ({reason}); start one with ray start --head") from None
    return ray


def _reach(address: str) -> None:
    """Ray itself tries for minutes.

    Raises:
        OSError: nobody listens there.
    """
    host, found, port = address.removeprefix("ray://").rpartition(":")
    if found and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS).close()

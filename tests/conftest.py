"""What holds for every test: a process computes on one thread, for as many processes run as there are cores."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; the processes that tests start inherit it

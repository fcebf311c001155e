"""What holds for every test: a process computes on one thread, for as many run as there are cores, and Ctrl-C ends it.

Hypothesis draws the same examples each time, so that a commit passes or fails by what it holds. To look for more, raise
`max_examples` of a test.
"""

from __future__ import annotations

import os
import signal

from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; the processes that tests start inherit it

settings.register_profile("same", derandomize=True, print_blob=False)
settings.load_profile("same")

# A shell lets what ends in `&` ignore Ctrl-C, and what tests start would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

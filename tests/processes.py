"""What tests of processes share."""

from __future__ import annotations

import signal


def hear_interrupts() -> None:
    """A shell's background jobs, and all that they start, would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

"""What a local teacher and a student share of transformers: checkpoint, loaded model, device, likelihood.

May import: records, params, console and project.
"""

from tinyllm.models.device import choose_device, note_slow_bf16, prepare_torch

__all__ = ["choose_device", "note_slow_bf16", "prepare_torch"]

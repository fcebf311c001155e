"""How a student learns.

May import: models, student, records, params, console and project.
"""

from tinyllm.training.distributed import is_first, launch
from tinyllm.training.examples import CorpusFile
from tinyllm.training.live.curve_files import write_curves
from tinyllm.training.resume import checkpoint_folder, training_key
from tinyllm.training.train import Trained, train_student

__all__ = [
    "CorpusFile",
    "Trained",
    "checkpoint_folder",
    "is_first",
    "launch",
    "train_student",
    "training_key",
    "write_curves",
]

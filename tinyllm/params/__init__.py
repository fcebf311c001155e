"""What params.yaml may hold: its types and limits, how it is read, and what contradicts in it.

May import: records.
"""

from tinyllm.params.load import load_params
from tinyllm.params.schema import Params
from tinyllm.params.trackers import check_trackers

__all__ = ["Params", "check_trackers", "load_params"]

"""Tables of experiments: their cells, how they run through DVC, and what can be concluded.

May import: cluster, evaluation, provenance, records, params, console and project.
"""

from tinyllm.experiments.attribution import find_attribution
from tinyllm.experiments.control import find_control
from tinyllm.experiments.origin import find_origin

__all__ = ["find_attribution", "find_control", "find_origin"]

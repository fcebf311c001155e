"""Tables of experiments: their cells, how they run through DVC, and what can be concluded.

May import: evaluation, provenance, records, params, console and project.
"""

"""Settings chosen on valid: the same number of trainings for every row of a table, by successive halving.

May import: as experiments; evaluation, provenance, records, params, console and project.
"""

"""The offline world, all of it: generated case reports, and the teachers of rules that explain them.

May import: records, params, console and project.
"""

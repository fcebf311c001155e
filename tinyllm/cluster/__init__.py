"""Ray clusters: how a process connects to one, and what it brings along.

May import: records, params, console and project.
"""

"""A teacher behind an endpoint that speaks OpenAI's protocol.

May import: as teachers; params, console and project.
"""

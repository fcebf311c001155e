"""The console command `tinyllm`: parse, call, print; no algorithm.

May import: anything.
"""

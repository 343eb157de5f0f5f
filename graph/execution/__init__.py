"""How an operation is carried out. Knows the schema's declarations, and nothing of what they are about.

executor.py   a document -> an answer: read, measured, planned, run
documents.py  documents parsed and validated once
plan.py       an operation compiled to a tree of selections
run.py        a plan carried out breadth-first, one call per branch and level
batches.py    one call for all who ask in the same moment
frames.py     a level at one place of the answer: rows or objects, and the dicts made of them
nulls.py      what went wrong, and where its null goes
leaves.py     columns of values made into what the answer says
"""

from .executor import Answer, Executor

__all__ = ["Answer", "Executor"]

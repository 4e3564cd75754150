"""The protocols that tell how good a representation is: `python -m mas.evaluate KIND ...`.

A kind is a module here that offers `NEEDED` and `OPTIONAL`, names of flags, and `run(flags)`; one
line in `mas/evaluate/__main__.py` registers it. Features of videos come from `features`, the
paragraph and the numbers that a kind leaves behind go through `protocol`.
"""

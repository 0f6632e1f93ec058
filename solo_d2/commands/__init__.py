"""What the entry points and the console script ``solo-d2`` run.

The module of the command ``solo-d2 data semantic-maps`` is ``data/semantic_maps.py``. Each has two functions:
``build_parser(description)`` returns the parser of its flags, and ``run(arguments)`` does the work.
"""

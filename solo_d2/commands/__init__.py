"""The commands of the console script ``solo-d2`` and of the other entry points.

The module of the command ``solo-d2 data semantic-maps`` is ``data/semantic_maps.py``. Each has two functions:
``build_parser(description)`` returns the parser of its flags, and ``run(arguments)`` does the work.
"""

"""A function over many items, on as many cores as that is worth."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None, chunk: int = 8
) -> Iterator[Result]:
    """Yields ``function(item)`` in the items' order.

    Args:
        function: Importable, or a ``functools.partial`` of such.
        items: What to call it with.
        workers: Processes; 1 or fewer runs in this one. Default: one per core, but none without a chunk.
        chunk: Items handed to a process at a time.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, len(items) // chunk)
    if workers <= 1:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(function, items, chunksize=chunk)

"""Maps a function over many items in parallel."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    chunk: int = 8,
    *,
    start_method: str | None = None,
    initializer: Callable[[], object] | None = None,
) -> Iterator[Result]:
    """Yields ``function(item)`` in the items' order.

    Args:
        function: An importable function, or a ``functools.partial`` of one.
        items: Arguments, one per call.
        workers: Number of processes; up to 1 runs in this process. By default one per core, limited by
            chunks.
        chunk: Items sent to a process at a time.
        start_method: "fork" or "spawn"; by default Python's. A GPU needs "spawn".
        initializer: An importable function, called once in each started process.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, len(items) // chunk)
    if workers <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context(start_method)
    with ProcessPoolExecutor(min(workers, len(items)), context, initializer) as pool:
        yield from pool.map(function, items, chunksize=chunk)

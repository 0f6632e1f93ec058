"""A function over many items, on as many cores as that is worth."""

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
        function: Importable, or a ``functools.partial`` of such.
        items: What to call it with.
        workers: Processes; 1 or fewer runs in this one. Default: one per core, but none without a chunk.
        chunk: Items handed to a process at a time.
        start_method: How processes start, "fork" or "spawn"; default Python's. A GPU needs "spawn".
        initializer: Called once in each process that is started; importable.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, len(items) // chunk)
    if workers <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context(start_method)
    with ProcessPoolExecutor(min(workers, len(items)), context, initializer) as pool:
        yield from pool.map(function, items, chunksize=chunk)

import os

import pytest

from solo_d2.utils.parallel import map_in_processes


def square(number):
    return number * number, os.getpid()


def fail(number):
    raise ValueError(f"item {number}")


@pytest.mark.parametrize("workers", [None, 0, 1, 3])
def test_results_in_order(workers):
    found = list(map_in_processes(square, range(20), workers, chunk=3))
    assert [value for value, _ in found] == [n * n for n in range(20)]
    own = {pid for _, pid in found} == {os.getpid()}
    assert own == (workers in (0, 1) or (workers is None and (os.cpu_count() or 1) == 1))


def test_few_items_need_no_processes():
    assert [pid for _, pid in map_in_processes(square, [1, 2])] == [os.getpid()] * 2
    assert list(map_in_processes(square, [])) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_come_through(workers):
    with pytest.raises(ValueError, match="item 0"):
        list(map_in_processes(fail, range(4), workers))


def mark():
    os.environ["MARKED_BY_INITIALIZER"] = "yes"


def read_mark(_):
    return os.environ.get("MARKED_BY_INITIALIZER")


def test_processes_are_spawned_and_initialized():
    found = map_in_processes(read_mark, range(2), 2, chunk=1, start_method="spawn", initializer=mark)
    assert list(found) == ["yes", "yes"] and "MARKED_BY_INITIALIZER" not in os.environ

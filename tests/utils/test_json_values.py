from solo_d2.utils.json_values import is_box, is_id, is_number, is_whole, whole_number

NO_NUMBERS = [None, True, "1", [1], float("nan"), float("inf"), 2**53 + 1, 10**400, -1e300]


def test_numbers():
    assert is_number(1) and is_number(-2.5) and is_number(2**53)
    assert not any(is_number(value) for value in NO_NUMBERS)
    assert is_whole(-3) and not any(is_whole(value) for value in [*NO_NUMBERS, 2.0])


def test_boxes():
    assert is_box([1, 2.5, 3, 4])
    assert not any(is_box(value) for value in [[1, 2, 3], [1, 2, 3, None], (1, 2, 3, 4), "1234", None])


def test_ids_of_images():
    assert all(is_id(value) for value in [0, -4, 10**400, "", "a"])
    assert not any(is_id(value) for value in [True, None, 1.0, [1]])


def test_other_spellings_of_whole_numbers():
    given = [7, 7.0, "7", "007", 7.5, float("nan"), 1e300, "x", "7.0", "٣", "9" * 40, None, [7]]
    read = [whole_number(value) for value in given]
    assert read[:4] == [7] * 4 and all(one is other for one, other in zip(read[4:], given[4:], strict=True))

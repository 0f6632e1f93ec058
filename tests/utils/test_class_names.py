import pytest

from solo_d2.utils.class_names import describe_difference, list_names


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (["a", "b"], ["a", "b"], ""),
        ([], [], ""),
        (["a", "b"], ["a"], "A has 'b', which B lacks"),
        (["a"], ["b", "c"], "A has 'a', which B lacks; B has 'b', 'c', which A lacks"),
        (["a", "b"], ["b", "a"], "class 0 is 'a' in A and 'b' in B"),
        (["a", "a"], ["a"], "A has 2 classes and B 1, some of the same name"),
    ],
)
def test_both_sides_are_named(one, other, text):
    assert describe_difference(one, other, ("A", "B")) == text


def test_long_lists_are_cut():
    assert list_names("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 more"

"""Problems are counted by kind."""

from solo_d2.data.datasets.problems import Problems


def test_many_of_a_kind_are_counted():
    problems = Problems()
    assert not problems and problems.lines() == []
    for number in range(5):
        problems.add("kind", str(number))
    problems.add("other", "x")
    assert problems and problems.lines() == ["5 x kind (0, 1, 2, ...)", "1 x other (x)"]
    assert "kind" in problems and "third" not in problems
    assert [kind for kind, _ in problems] == ["kind", "other"]

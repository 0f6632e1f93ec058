import pytest

from solo_d2.utils.errors import InputError


def test_it_is_a_value_error():
    with pytest.raises(ValueError, match="what and how"):
        raise InputError("what and how")

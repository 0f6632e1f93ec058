import pickle

import pytest

from solo_d2.utils.errors import InputError, printable, suggestion


def test_it_is_a_value_error():
    with pytest.raises(ValueError, match="what and how"):
        raise InputError("what and how")


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Größe 1 ×", "Größe 1 ×"),
        ("a\r\tb", "a\\r\\tb"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("\ud800", "\\ud800"),
    ],
)
def test_names_from_files_cannot_write_to_the_terminal(text, shown):
    assert printable(text) == shown and printable(shown) == shown
    error = InputError(text)
    assert str(error) == shown
    assert str(pickle.loads(pickle.dumps(error))) == shown  # as worker processes pass it on


def test_line_breaks_are_kept_by_errors_only():
    """Errors of loader processes carry their traceback, which ``one_line`` takes off."""
    assert printable("a\nb") == "a\\nb" and str(InputError("a\nb")) == "a\nb"


@pytest.mark.parametrize(
    "word, arguments, text",
    [
        ("trian", {}, ": did you mean train?"),
        ("trai", {"most": 2}, ": did you mean train or trail?"),
        ("xyz", {"otherwise": "read the list"}, ": read the list"),
        ("xyz", {}, ""),
    ],
)
def test_an_unknown_word_is_answered_with_near_ones(word, arguments, text):
    assert suggestion(word, ["train", "trail", "eval"], **arguments) == text

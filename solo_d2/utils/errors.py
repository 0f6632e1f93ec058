"""The exception for mistakes that the user can fix, and the words of its message."""

from collections.abc import Collection
from difflib import get_close_matches


class InputError(ValueError):
    """A wrong flag, path, config value, annotation or weight file.

    The message is one line that says what is wrong and how to fix it; it is made printable.
    Entry points (``solo_d2.engine.cli.run_cli``) print it without a traceback and exit with code 2.
    """

    def __init__(self, message: str):
        # Line breaks stay: PyTorch re-raises a loader process's error with the traceback in its message.
        super().__init__("\n".join(map(printable, message.split("\n"))))


def printable(text: str) -> str:
    """Returns text on one line: line breaks, control characters and lone surrogates become escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def suggestion(word: str, known: Collection[str], otherwise: str = "", most: int = 1) -> str:
    """Returns the end of a message about an unknown word.

    Args:
        word: What the user wrote.
        known: What can be written.
        otherwise: Says where to look if nothing known is near.
        most: Maximum number of names.

    Returns:
        ": did you mean ...?", or ": " and ``otherwise``, or "".
    """
    near = get_close_matches(word, known, n=most)
    text = f"did you mean {' or '.join(near)}?" if near else otherwise
    return f": {text}" if text else ""

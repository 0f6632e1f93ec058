"""The exception for mistakes that the user can fix."""


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

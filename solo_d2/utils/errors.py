"""The one exception for mistakes that the person at the keyboard can mend."""


class InputError(ValueError):
    """A wrong flag, path, config value, annotation or weight file.

    The message is one line that says what is wrong and how to mend it. Entry points
    (``solo_d2.engine.cli.run_cli``) print it without a traceback and exit with code 2.
    """

"""The one error meant for the person at the keyboard."""


class InputError(ValueError):
    """What was asked for cannot be done: the message says, in one line, what would be right.

    The command prints it to standard error without a traceback and exits with code 2; any other
    exception is a defect of the program and keeps its traceback.
    """

"""Entry point of the command `tinygrad-rnn` and of `python -m tinygrad_rnn`."""

import sys
import warnings


def main() -> int:
    """Run the command and return its exit code.

    Ctrl-C ends the command quietly, also during its imports. Warnings are printed without the line
    of source code that caused them.
    """
    warnings.formatwarning = lambda message, *_, **__: f"tinygrad-rnn: warning: {message}\n"
    try:
        from .cli import main as command
    except KeyboardInterrupt:
        return 130
    return command()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tinygrad_rnn` is the command `tinygrad-rnn`."""

import sys
import warnings


def main() -> int:
    """Run the command; Ctrl-C ends it quietly even while it is being loaded, which takes time.

    Warnings are printed without the line of source code that caused them.
    """
    warnings.formatwarning = lambda message, *_, **__: f"tinygrad-rnn: warning: {message}\n"
    try:
        from .cli import main as command
    except KeyboardInterrupt:
        return 130
    return command()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tinygrad_rnn` is the command `tinygrad-rnn`."""

import sys


def main() -> int:
    """Run the command; Ctrl-C ends it quietly even while it is being loaded, which takes time."""
    try:
        from tinygrad_rnn.cli import main as command
    except KeyboardInterrupt:
        return 130
    return command()


if __name__ == "__main__":
    sys.exit(main())

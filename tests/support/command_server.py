"""Process that imports the command once, and runs each command line in a fork of itself.

It reads requests, one JSON object per line, and answers each with an exit code. A request names the
arguments `argv`, the folder `cwd`, and the files `in`, `out` and `err` of the standard streams.
"""

import json
import os
import sys
import traceback
from typing import Any

import tinygrad_rnn.__main__
import tinygrad_rnn.cli
import tinygrad_rnn.demos.runner
import tinygrad_rnn.tasks.language_modeling.report


def run(request: dict[str, Any]) -> int:
    """Run a command line in this process and return its exit code."""
    os.chdir(request["cwd"])
    for descriptor, stream in enumerate(("in", "out", "err")):
        mode = os.O_RDONLY if stream == "in" else os.O_WRONLY
        os.dup2(os.open(request[stream], mode), descriptor)
    sys.argv = ["tinygrad-rnn", *request["argv"]]
    try:
        code = tinygrad_rnn.__main__.main()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            os._exit(run(json.loads(line)))
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)

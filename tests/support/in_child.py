"""Run command lines of clip3d, each in a process of its own with a memory and a time limit.

The interpreter that runs this file imports clip3d once and forks for every command: a hundred
processes then take seconds. It reads a JSON list of commands on stdin and answers with a list.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MEMORY_BYTES = 2 << 30
SECONDS = 20
# Where the machine is busy, a process waits more than it works.
PATIENCE_SECONDS = 120
NOBODY = 65534


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code (negative: a signal), stdout, stderr."""

    code: int
    out: str
    err: str


def main(warm_up: str) -> None:
    from clip3d_cli.cli.app import main as clip3d

    commands = json.load(sys.stdin)
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        # Import what the commands need once, for files that are read and for files that are not: a
        # child without rights may not be able to import it.
        for words in (["info", "--json"], ["label", "--classes", "car", "--dry-run"]):
            with contextlib.suppress(SystemExit):
                clip3d([*words, warm_up, f"{warm_up}.missing"])
    outcomes = [run(clip3d, [os.fsdecode(bytes.fromhex(w)) for w in words]) for words in commands]
    json.dump([vars(outcome) for outcome in outcomes], sys.stdout)


def run(clip3d, words: list[str]) -> Outcome:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            be_child(clip3d, words, out.fileno(), err.fileno())
        _, status = os.waitpid(child, 0)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode("utf-8", "backslashreplace"))
    return Outcome(os.waitstatus_to_exitcode(status), *texts)


def be_child(clip3d, words: list[str], out: int, err: int) -> None:
    code = 70
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        signal.alarm(PATIENCE_SECONDS)
        if os.geteuid() == 0 and any("secret" in word for word in words):
            os.setuid(NOBODY)  # root may read everything
        clip3d(words)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
    except BaseException:  # noqa: BLE001 - the parent reads it
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main(sys.argv[1])

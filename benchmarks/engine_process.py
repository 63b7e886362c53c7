"""Parent side of a process with one engine: see `engine_child`."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PEERS = ("spconv", "minkowski", "torchsparse")
ROOT = Path(__file__).resolve().parent.parent


class EngineError(Exception):
    """A request failed, or the process ended; the message says why."""


@dataclass(frozen=True)
class Setting:
    """An engine and how it is to compute."""

    engine: str
    mode: str
    threads: int
    device: str
    python: str

    @property
    def label(self) -> str:
        return f"{self.engine}-{self.mode}-{self.threads}"

    def as_request(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "python"}


class EngineProcess:
    """A child process that handles one request at a time.

    Threads of clip3d's engines wait as the command line sets them, asleep after a moment; those of
    peers wait as their library sets them.
    """

    def __init__(self, setting: Setting) -> None:
        threads = str(setting.threads)
        counts = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        ours = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}
        waiting = {} if setting.engine in PEERS else ours
        self.process = subprocess.Popen(
            [setting.python, "-W", "ignore", "-m", "benchmarks.engine_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env={**os.environ, **waiting, **dict.fromkeys(counts, threads)},
        )

    def request(self, request: str, **details: Any) -> dict[str, Any]:
        """Send a request and return the result.

        Raises:
            EngineError: the request failed, or the process ended.
        """
        to_child, from_child = self.process.stdin, self.process.stdout
        if to_child is None or from_child is None:
            raise EngineError("the process has no pipes")
        try:
            to_child.write(json.dumps({"do": request, **details}) + "\n")
            to_child.flush()
        except BrokenPipeError:
            raise EngineError(self._end()) from None
        line = from_child.readline()
        if not line:
            raise EngineError(self._end())
        result: dict[str, Any] = json.loads(line)
        if "failed" in result:
            raise EngineError(result["failed"])
        return result

    def try_request(self, request: str, **details: Any) -> dict[str, Any]:
        """Send a request; if it fails, return the reason under ``failed``."""
        try:
            return self.request(request, **details)
        except EngineError as failure:
            return {"failed": str(failure)}

    def stop(self) -> None:
        """End the child."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.terminate()
        self.process.wait()

    def _end(self) -> str:
        return f"the process ended with status {self.process.wait()}"

"""The folder of one training: what was asked, with what, and how it went.

::

    config.toml      the whole configuration, defaults written out
    versions.json    of everything that could change a number, at every start
    metrics.jsonl    a line for every step
    tensorboard/     the same for TensorBoard, where that is installed and wanted
    checkpoints/     to resume from
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from clip3d_cli.errors import InputError, OutputError
from clip3d_cli.formats.atomic import atomic_write
from clip3d_cli.training.checkpoints import Checkpoints
from clip3d_cli.training.toml_text import flat, toml_table, toml_text

CONFIG = "config.toml"
VERSIONS = "versions.json"
METRICS = "metrics.jsonl"

_START_AGAIN = "Start again in another folder."


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a training writes, and where its resumption finds it.

    Attributes:
        path: the folder.
        keep_last: how many checkpoints are kept.
    """

    path: Path
    keep_last: int = 2

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of this run."""
        return Checkpoints(self.path / "checkpoints", self.keep_last)

    @property
    def metrics(self) -> Path:
        """The file with a line for every step."""
        return self.path / METRICS

    def begin(self, config: Mapping[str, Any], versions: Mapping[str, Any]) -> None:
        """Make the folder of a new run.

        Args:
            config: resolved, nested mappings of what TOML can say; None is left out.
            versions: fit for JSON.

        Raises:
            OutputError: E_EXISTS: another run is there, or its remains; E_NOT_WRITABLE, E_NO_SPACE.
            OSError: the folder cannot be made.
            TypeError: the configuration holds what TOML cannot say; nothing was written.
        """
        if (self.path / CONFIG).exists():
            raise OutputError(
                "E_EXISTS", self.path, "holds another run", "Add --resume, or name another -o."
            )
        if leftovers := self._leftovers():
            raise OutputError(
                "E_EXISTS",
                self.path / leftovers[0],
                "lies where a new run would write",
                "Name another -o, or remove it.",
            )
        text = toml_text(config)
        self.path.mkdir(parents=True, exist_ok=True)
        # First of all: what a kill leaves from here on can be resumed.
        _write(self.path / CONFIG, text)
        self._note_start(versions, done=0)

    def resume(
        self,
        config: Mapping[str, Any],
        versions: Mapping[str, Any],
        done: int,
        *,
        free: Collection[str] = (),
    ) -> None:
        """Take a run up after some steps: later lines of its metrics are cut off.

        Args:
            config: as it was at the start.
            versions: of now.
            done: the steps that the checkpoint has; 0 without one.
            free: dotted keys that may have changed, as they change no result.

        Raises:
            InputError: E_NOT_FOUND: no run is there. E_CONFIG: it was configured otherwise.
                E_CORRUPT: its configuration, versions or metrics cannot be read.
            OutputError: E_NOT_WRITABLE or E_NO_SPACE.
        """
        self.require_same(config, free=free)
        self._note_start(versions, done)
        _cut_metrics(self.metrics, done)

    def require_same(self, config: Mapping[str, Any], *, free: Collection[str] = ()) -> None:
        """Refuse to resume a run that was configured otherwise.

        Raises:
            InputError: E_NOT_FOUND, E_CONFIG (it names what differs) or E_CORRUPT: see `resume`.
        """
        path = self.path / CONFIG
        if not path.is_file():
            raise InputError(
                "E_NOT_FOUND", self.path, "holds no run to resume", "Start it without --resume."
            )
        try:
            was = flat(toml_table(path.read_text(encoding="utf-8")))
        except ValueError as error:
            raise InputError("E_CORRUPT", path, f"is not TOML: {error}", _START_AGAIN) from error
        now = flat(config)
        other = [
            f"{key} was {was.get(key)!r} and is {now.get(key)!r}"
            for key in sorted({*was, *now} - set(free))
            if was.get(key) != now.get(key)
        ]
        if other:
            raise InputError(
                "E_CONFIG",
                path,
                f"another configuration: {'; '.join(other)}",
                "Resume with its own config.toml, or name another -o.",
            )

    def record(self, numbers: Mapping[str, Any]) -> None:
        """Add one line to the metrics, in the file when this returns.

        Args:
            numbers: fit for JSON, with ``step``.

        Raises:
            OSError: it cannot be written.
        """
        line = json.dumps(dict(numbers), allow_nan=False) + "\n"
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(line)

    def _leftovers(self) -> list[str]:
        """What only a run writes, and what would be mixed with the new one's."""
        names = (METRICS, VERSIONS, "checkpoints")
        return [name for name in names if (self.path / name).exists()]

    def _note_start(self, versions: Mapping[str, Any], done: int) -> None:
        """Add a start to the list of starts."""
        path = self.path / VERSIONS
        try:
            starts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        except ValueError as error:
            raise InputError("E_CORRUPT", path, f"is not JSON: {error}", "Remove it.") from error
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        _write(
            path,
            json.dumps([*starts, {"began": now, "after_step": done, **versions}], indent=2) + "\n",
        )


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def _cut_metrics(path: Path, done: int) -> None:
    """Leave only the lines of steps up to ``done``; half a line that a kill left goes as well."""
    if not path.exists():
        return
    kept = []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith("\n"):
            break
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                "E_CORRUPT", path, f"line {number} is no metric", "Remove the line."
            ) from error
        if step <= done:
            kept.append(line)
    _write(path, "".join(kept))

"""Folder of one training run: its config, environment, metrics and checkpoints.

::

    config.toml      the whole config, defaults included
    versions.json    versions, machine and command line, an entry for every start
    metrics.jsonl    a line for every step
    tensorboard/     the same for TensorBoard, if ``run.tensorboard`` is set
    checkpoints/     training states to resume from
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
from clip3d_cli.training.toml_text import flatten_tables, toml_table, toml_text

CONFIG = "config.toml"
VERSIONS = "versions.json"
METRICS = "metrics.jsonl"

_NEW_FOLDER = "Start a new run in another folder."
# Keys of config.toml by table, with the names that they have now.
_RENAMED_KEYS = {"data": {"judged": "eval_split"}}


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Folder that a training writes to, and is resumed from.

    Attributes:
        path: the folder.
        keep_last: number of checkpoints that are kept.
    """

    path: Path
    keep_last: int = 2

    @property
    def checkpoints(self) -> Checkpoints:
        """Checkpoints of the run."""
        return Checkpoints(self.path / "checkpoints", self.keep_last)

    @property
    def metrics(self) -> Path:
        """File with a line for every step."""
        return self.path / METRICS

    def create(self, config: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
        """Create the folder of a new run, with its config.

        Args:
            config: all options, as nested mappings of TOML values; None is left out.
            environment: versions, machine and command line, fit for JSON.

        Raises:
            OutputError: E_EXISTS: the folder holds another run, or parts of one; E_NOT_WRITABLE,
                E_NO_SPACE.
            OSError: the folder cannot be created.
            TypeError: the config holds a value that TOML does not have; nothing was written.
        """
        if (self.path / CONFIG).exists():
            raise OutputError(
                "E_EXISTS", self.path, "holds another run", "Add --resume, or name another -o."
            )
        if leftovers := self._leftovers():
            raise OutputError(
                "E_EXISTS",
                self.path / leftovers[0],
                "exists already, and a new run would write to it",
                "Name another -o, or remove it.",
            )
        text = toml_text(config)
        self.path.mkdir(parents=True, exist_ok=True)
        # The config comes first: a run that is killed from here on can be resumed.
        _write(self.path / CONFIG, text)
        self._record_start(environment, steps_done=0)

    def resume(
        self,
        config: Mapping[str, Any],
        environment: Mapping[str, Any],
        steps_done: int,
        *,
        resumable_keys: Collection[str] = (),
    ) -> None:
        """Continue the run after some steps: metrics of later steps are removed.

        Args:
            config: all options, as nested mappings.
            environment: versions, machine and command line of this start.
            steps_done: number of steps that the checkpoint has seen; 0 without a checkpoint.
            resumable_keys: dotted keys that may differ from the config of the run.

        Raises:
            InputError: E_NOT_FOUND: the folder holds no run. E_CONFIG: the run has another
                config. E_CORRUPT: its config, versions or metrics cannot be read.
            OutputError: E_NOT_WRITABLE or E_NO_SPACE.
        """
        self.require_same_config(config, resumable_keys=resumable_keys)
        self._record_start(environment, steps_done)
        _cut_metrics(self.metrics, steps_done)

    def require_same_config(
        self, config: Mapping[str, Any], *, resumable_keys: Collection[str] = ()
    ) -> None:
        """Raise an error if the run was started with another config.

        Args:
            config: all options, as nested mappings.
            resumable_keys: dotted keys that may differ.

        Raises:
            InputError: E_NOT_FOUND, E_CONFIG (it names all keys that differ) or E_CORRUPT; see
                `resume`.
        """
        path = self.path / CONFIG
        if not path.is_file():
            raise InputError(
                "E_NOT_FOUND", self.path, "holds no run to resume", "Start it without --resume."
            )
        try:
            tables = toml_table(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError("E_CORRUPT", path, f"is not TOML: {error}", _NEW_FOLDER) from error
        was, now = flatten_tables(with_current_keys(tables)), flatten_tables(config)
        differences = [
            f"{key} was {was.get(key)!r} and is {now.get(key)!r}"
            for key in sorted({*was, *now} - set(resumable_keys))
            if was.get(key) != now.get(key)
        ]
        if differences:
            raise InputError(
                "E_CONFIG",
                path,
                f"the run has another config: {'; '.join(differences)}",
                "Resume with its own config.toml, or name another -o.",
            )

    def record(self, numbers: Mapping[str, Any]) -> None:
        """Append a line to the metrics; it is in the file when this returns.

        Args:
            numbers: fit for JSON, with ``step``.

        Raises:
            OSError: the file cannot be written.
        """
        line = json.dumps(dict(numbers), allow_nan=False) + "\n"
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(line)

    def _leftovers(self) -> list[str]:
        """Return what another run left here and a new one would add to."""
        names = (METRICS, VERSIONS, "checkpoints")
        return [name for name in names if (self.path / name).exists()]

    def _record_start(self, environment: Mapping[str, Any], steps_done: int) -> None:
        """Append an entry to the list of starts."""
        path = self.path / VERSIONS
        try:
            starts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        except ValueError as error:
            raise InputError("E_CORRUPT", path, f"is not JSON: {error}", "Remove it.") from error
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        start = {"began": now, "after_step": steps_done, **environment}
        _write(path, json.dumps([*starts, start], indent=2) + "\n")


def with_current_keys(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of a config.toml with keys of earlier versions renamed."""
    renamed = dict(tables)
    for table, names in _RENAMED_KEYS.items():
        values = renamed.get(table)
        if isinstance(values, Mapping):
            renamed[table] = {names.get(key, key): value for key, value in values.items()}
    return renamed


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def _cut_metrics(path: Path, steps_done: int) -> None:
    """Keep only the lines of the first steps; an incomplete last line is removed as well."""
    if not path.exists():
        return
    kept = []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith("\n"):
            # The process was killed while it wrote this line.
            break
        try:
            step = json.loads(line)["step"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                "E_CORRUPT", path, f"line {number} is not a line of metrics", "Remove the line."
            ) from error
        if step <= steps_done:
            kept.append(line)
    _write(path, "".join(kept))

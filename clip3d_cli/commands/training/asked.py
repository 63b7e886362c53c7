"""What the command line of a training says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Machines:
    """How many processes train.

    Attributes:
        gpus: processes on each machine, or None if not said.
        nodes: machines.
        meet: host:port where they find each other.
    """

    gpus: int | None = None
    nodes: int = 1
    meet: str | None = None

    @property
    def several(self) -> bool:
        """Whether there is more than one process."""
        return (self.gpus or 1) > 1 or self.nodes > 1

    @property
    def options(self) -> list[str]:
        """What a command line says to ask for the same."""
        given = {"--gpus": self.gpus, "--nodes": self.nodes, "--meet": self.meet}
        return [str(word) for each in given.items() if each[1] not in (None, 1) for word in each]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says.

    Attributes:
        folder: -o, of the run; None if not said.
        flags: what its options mean, as tables of the configuration.
        config: a TOML file.
        settings: ``table.key=value``, in order.
        resume: go on with the run that is there.
        dry_run: only say what would be done.
        as_json: give a document on stdout.
        machines: how many processes train.
    """

    folder: Path | None = None
    flags: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    config: Path | None = None
    settings: tuple[str, ...] = ()
    resume: bool = False
    dry_run: bool = False
    as_json: bool = False
    machines: Machines = field(default_factory=Machines)

    def flag(self, key: str) -> object:
        """What the options say of a dotted key, or None."""
        table, _, name = key.partition(".")
        return self.flags.get(table, {}).get(name)


def flags_of(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Options by dotted key as tables, without what was not said."""
    tables: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if value is not None:
            table, _, name = key.partition(".")
            tables.setdefault(table, {})[name] = value
    return tables


def place_of(path: Path | None) -> str | None:
    """A path that leads to the same from any folder: a run may be resumed from another."""
    return None if path is None else str(path.resolve())

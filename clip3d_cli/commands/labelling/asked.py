"""How files are to be labelled."""

from __future__ import annotations

from dataclasses import dataclass

from clip3d_cli.commands.engine_choice import EngineChoice
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.formats.format import ReadOptions


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """How files are labelled.

    Attributes:
        choice: the models.
        reading: how files are read.
        voice: hears what happens.
        voxel_m: the edge of a voxel, metres; None takes the weights' that suits.
        tile_m: the widest tile, metres; None cuts only what does not fit.
        unknown_threshold: points whose winner scores less are unlabeled, 0…1.
        ranking: how many classes to rank per point; 0 for none.
        overwrite: replace results that are there.
    """

    choice: EngineChoice
    reading: ReadOptions
    voice: Voice
    voxel_m: float | None = None
    tile_m: float | None = None
    unknown_threshold: float = 0.0
    ranking: int = 0
    overwrite: bool = False

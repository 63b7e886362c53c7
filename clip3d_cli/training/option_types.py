"""Number types with their allowed range, for the fields of option dataclasses.

A field adds its description: ``pairs: Annotated[PositiveCount, Meta(description="…")] = 4096``. The
description is the only place where an option is explained; see
`clip3d_cli.pipelines.training.config_reference`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

# TOML has infinity, and Python has whole numbers of any size: both would fail much later.
LARGEST = 10**12

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
PositiveCount = Annotated[int, Meta(ge=1, le=LARGEST)]
NonNegative = Annotated[float, Meta(ge=0, le=LARGEST)]
Positive = Annotated[float, Meta(gt=0, le=LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]

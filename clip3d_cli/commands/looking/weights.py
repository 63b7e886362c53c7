"""What a file of point weights says of itself, for ``clip3d info``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_file import file_sha256, read_weights

FORMAT = "weights of clip3d"
SUFFIX = ".safetensors"
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class WeightsFacts:
    """What is known of a file of weights once it has been read.

    Attributes:
        path: the file.
        spec: of its network.
        numbers: how many the network holds, without its closed head.
        sha256: of the file.
    """

    path: Path
    spec: EncoderSpec
    numbers: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> WeightsFacts:
        """The facts of a file.

        Raises:
            SetupError: E_WEIGHTS: it is no whole file of point weights.
        """
        spec, state = read_weights(path)
        return cls(path, spec, sum(array.size for array in state.values()), file_sha256(path))

    def entry(self) -> dict[str, object]:
        """All of them, for programs."""
        spec, closed = self.spec, self.spec.closed
        return {
            "input": str(self.path),
            "format": FORMAT,
            "bytes": self.path.stat().st_size,
            "sha256": self.sha256,
            "architecture": spec.architecture,
            "config": dict(spec.config),
            "numbers": self.numbers,
            "inputs": list(spec.inputs),
            "voxel_sizes_m": list(spec.voxel_sizes_m),
            "space": {"name": spec.space.name, "dim": spec.space.dim},
            "text_encoder": spec.text_encoder,
            "logit_scale": spec.logit_scale,
            "closed": None
            if closed is None
            else {
                "vocabulary": closed.vocabulary,
                "logit_scale": closed.logit_scale,
                "classes": [
                    {"name": entry.name, "id": entry.class_id} for entry in closed.classes.classes
                ],
            },
            "provenance": dict(spec.provenance),
        }

    def lines(self) -> Iterator[str]:
        """The same for people; of long texts only the beginning."""
        spec = self.spec
        config = ", ".join(f"{key} {value}" for key, value in sorted(spec.config.items()))
        yield f"{self.path}: {FORMAT}"
        yield f"  network  {spec.architecture}{f' ({config})' if config else ''}"
        yield f"  size     {self.numbers:,} numbers in {self.path.stat().st_size:,} bytes"
        yield f"  sha256   {self.sha256}"
        yield f"  inputs   {', '.join(spec.inputs)}"
        yield f"  voxels   {', '.join(f'{size:g}' for size in spec.voxel_sizes_m)} m"
        yield f"  words    any, in {spec.space.name} ({spec.space.dim}), by {spec.text_encoder}"
        closed = spec.closed
        if closed is None:
            yield "  closed   no head of fixed classes"
        else:
            names = ", ".join(closed.names)
            yield f"  closed   {len(closed.names)} classes of {closed.vocabulary}: {names}"
        for key, value in sorted(spec.provenance.items()):
            text = str(value)
            yield f"  note     {key}: {text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'}"

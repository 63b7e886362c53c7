from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clip3d_cli.encoders.openscene import encoder_of_state, load_openscene
from clip3d_cli.errors import SetupError
from clip3d_cli.sparse.tensor import SparseTensor

Shapes = list[tuple[str, tuple[int, ...]]]


def shapes_of_keys(folder: Path) -> Shapes:
    entries: Shapes = []
    for line in (folder / "keys.txt").read_text().splitlines():
        name, _, shape = line.partition(" [")
        entries.append((name, tuple(int(part) for part in shape.rstrip("]").split(",") if part)))
    return entries


def drawn_state(entries: Shapes, seed: int) -> dict[str, Tensor]:
    """The weights as the oracle's README says they were drawn."""
    state = {}
    for index, (name, shape) in enumerate(entries):
        draw = np.random.default_rng([seed, index])
        if name.endswith("num_batches_tracked"):
            state[name] = torch.zeros(shape, dtype=torch.int64)
            continue
        if name.endswith(".kernel"):
            fan = shape[-2] * (shape[0] if len(shape) == 3 else 1)
            value = draw.standard_normal(shape) * np.sqrt(2 / fan)
        elif name.endswith(("running_var", ".weight")):
            value = draw.uniform(0.5, 1.5, shape)
        else:
            value = draw.standard_normal(shape) * 0.1
        state[name] = torch.from_numpy(value.astype(np.float32))
    return state


@pytest.fixture(scope="module")
def state(shared_oracles: Path) -> dict[str, Tensor]:
    return drawn_state(shapes_of_keys(shared_oracles / "openscene"), seed=1)


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


def test_reproduces_what_minkowski_engine_computed(
    shared_oracles: Path, state: dict[str, Tensor]
) -> None:
    oracle = np.load(shared_oracles / "openscene" / "oracle.npz")
    encoder = encoder_of_state(state, Path("drawn"))
    cells = torch.from_numpy(np.insert(oracle["cells"], 0, 0, axis=1))
    with torch.no_grad():
        feats = encoder.network(SparseTensor(cells, torch.ones(len(cells), 1)))
    theirs = torch.from_numpy(oracle["features_first64"])
    assert relative_error(feats[:, :64], theirs) < 1e-4
    assert relative_error(feats.norm(dim=1), torch.from_numpy(oracle["norms"])) < 1e-4
    assert encoder.space.name == "openclip/ViT-L-14-336/openai"


def test_reads_a_checkpoint_file_with_or_without_the_prefix(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    bare = {name.removeprefix("net3d."): value for name, value in state.items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "whole.pth.tar")
    torch.save(bare, tmp_path / "bare.pth")
    first = load_openscene(tmp_path / "whole.pth.tar", 0.05)
    second = load_openscene(tmp_path / "bare.pth")
    assert first.voxel_sizes_m == (0.05,)
    for one, other in zip(
        first.network.state_dict().values(), second.network.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_a_missing_or_foreign_key_is_named(state: dict[str, Tensor]) -> None:
    short = {**state, "net3d.block9.strange": torch.zeros(1)}
    del short["net3d.block3.1.norm2.bn.bias"]
    with pytest.raises(SetupError, match=r"missing: down.2.blocks.1.norm2.bias; unexpected: net3d"):
        encoder_of_state(short, Path("short"))


def test_a_head_of_another_width_is_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(SetupError, match=r"no net3d\.final\.kernel of 512 or 768 channels"):
        encoder_of_state({**state, "net3d.final.kernel": torch.zeros(96, 20)}, Path("odd"))


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("run",))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(SetupError, match="has objects other than tensors") as caught:
        load_openscene(tmp_path / "bad.pth")
    assert caught.value.code == "E_PICKLE"


@pytest.mark.parametrize("content", [None, b"", b"<html>", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "openscene.pth.tar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SetupError):
        load_openscene(path)

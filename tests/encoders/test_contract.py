"""What every row of kind point_encoders must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clip3d_cli import registry
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.encoders.spec import EncoderSpec
from clip3d_cli.encoders.weights_torch import load_encoder, save_encoder
from clip3d_cli.errors import InputError
from clip3d_cli.sparse.backends.torch.backend import TorchBackend
from clip3d_cli.sparse.tensor import SparseTensor

SPACE = FeatureSpace("openclip/ViT-B-32/openai", 24)
NARROW: dict[str, dict[str, Any]] = {
    "minkunet": {"layers": 14, "width": 0.25},
    "spvcnn": {"width": 0.25},
}


def spec_of(architecture: str) -> EncoderSpec:
    return EncoderSpec(
        architecture=architecture,
        config=NARROW.get(architecture, {}),
        inputs=("one", "height"),
        voxel_sizes_m=(0.1,),
        space=SPACE,
        text_encoder="mini",
        logit_scale=20.0,
    )


@pytest.fixture(scope="module", params=registry.names("point_encoders"))
def encoder(request: pytest.FixtureRequest) -> PointEncoder:
    torch.manual_seed(3)
    made = PointEncoder(spec_of(request.param))
    made(random_cloud(0, 3000))  # moves the running statistics away from their start
    return made.eval()


def random_cloud(seed: int, rows: int = 700, number: int = 0) -> SparseTensor:
    draw = torch.Generator().manual_seed(seed)
    cells = torch.randint(-20, 20, (rows, 3), generator=draw).unique(dim=0)
    batch = torch.full((len(cells), 1), number)
    feats = torch.randn(len(cells), 2, generator=draw)
    return SparseTensor(torch.cat((batch, cells), dim=1).int(), feats)


def joined(*clouds: SparseTensor) -> SparseTensor:
    return SparseTensor(
        torch.cat([cloud.cells for cloud in clouds]), torch.cat([cloud.feats for cloud in clouds])
    )


def vectors_of(encoder: PointEncoder, cloud: SparseTensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = encoder(cloud)
    return found


def same(found: Tensor, wanted: Tensor) -> bool:
    """Equal up to rounding, and the same winner against fixed words."""
    words = torch.randn(SPACE.dim, 9, generator=torch.Generator().manual_seed(9))
    winners = (found @ words).argmax(1) == (wanted @ words).argmax(1)
    return torch.allclose(found, wanted, atol=2e-5) and bool(winners.all())


def test_vectors_are_finite_and_of_unit_length(encoder: PointEncoder) -> None:
    cloud = random_cloud(1)
    vectors = vectors_of(encoder, cloud)
    assert vectors.shape == (len(cloud), SPACE.dim)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(len(cloud)))
    assert vectors.std(dim=0).min() > 1e-4


def test_row_order_does_not_matter(encoder: PointEncoder) -> None:
    cloud = random_cloud(1)
    order = torch.randperm(len(cloud), generator=torch.Generator().manual_seed(0))
    shuffled = SparseTensor(cloud.cells[order], cloud.feats[order])
    assert torch.equal(vectors_of(encoder, shuffled), vectors_of(encoder, cloud)[order])


def test_batch_mates_do_not_matter(encoder: PointEncoder) -> None:
    first, second = random_cloud(1), random_cloud(2, number=2)
    both = vectors_of(encoder, joined(first, second))
    assert same(both[: len(first)], vectors_of(encoder, first))
    assert same(both[len(first) :], vectors_of(encoder, second))


def test_shifts_by_the_stride_do_not_matter(encoder: PointEncoder) -> None:
    cloud = random_cloud(1)
    step = torch.tensor([0, 3, -5, 40]) * encoder.stride
    moved = SparseTensor(cloud.cells + step.int(), cloud.feats)
    assert same(vectors_of(encoder, moved), vectors_of(encoder, cloud))


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("training", [False, True])
def test_hardly_any_voxels(encoder: PointEncoder, rows: int, training: bool) -> None:
    cloud = SparseTensor(torch.zeros(rows, 4, dtype=torch.int32), torch.ones(rows, 2))
    encoder.train(training)
    try:
        vectors = encoder(cloud)
        vectors.sum().backward()
    finally:
        encoder.eval()
    assert vectors.shape == (rows, SPACE.dim)
    assert bool(vectors.isfinite().all())


def test_every_parameter_is_trained(encoder: PointEncoder) -> None:
    encoder.zero_grad()
    cloud = random_cloud(4)
    pull = torch.randn(len(cloud), SPACE.dim, generator=torch.Generator().manual_seed(0))
    (encoder(cloud) * pull).sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_save_and_load_are_bit_identical(encoder: PointEncoder, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path / "e", torch.float32)
    again = load_encoder(tmp_path / "e")
    assert again.spec == encoder.spec
    cloud = random_cloud(1)
    assert torch.equal(vectors_of(again, cloud), vectors_of(encoder, cloud))


def test_a_cell_beyond_the_lattice_is_refused(encoder: PointEncoder) -> None:
    cells = torch.tensor([[0, 0, 0, 0], [0, 0, 2**17, 0]], dtype=torch.int32)
    with pytest.raises(InputError, match="voxels along y: range over 0…131072") as caught:
        encoder(SparseTensor(cells, torch.ones(2, 2)))
    assert caught.value.code == "E_VOXEL_RANGE"


def test_other_channels_than_the_spec_names_are_refused(encoder: PointEncoder) -> None:
    cloud = random_cloud(1)
    with pytest.raises(ValueError, match=r"takes 2 channels \(one, height\), not 3"):
        encoder(cloud.with_feats(torch.ones(len(cloud), 3)))


def test_half_precision_stays_near(encoder: PointEncoder) -> None:
    cloud = random_cloud(1)
    exact = vectors_of(encoder, cloud)
    backend = TorchBackend()
    backend.dtype = torch.bfloat16
    rough = vectors_of(PointEncoder(encoder.spec, encoder.network, backend=backend).eval(), cloud)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    assert (rough * exact).sum(1).mean() > 0.99


def test_a_gpu_is_given_as_much_as_it_holds(
    encoder: PointEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert encoder.max_voxels == 500_000
    device = torch.device("cuda", 1)
    monkeypatch.setattr(encoder, "parameters", lambda: iter([Tensor().to("meta")]))
    monkeypatch.setattr(torch.Tensor, "device", property(lambda _: device))
    free = {device: (40 << 30, 80 << 30)}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: free[where])
    assert encoder.max_voxels == int(0.6 * (40 << 30) / 4096)
    free[device] = (1 << 30, 80 << 30)
    assert encoder.max_voxels == 500_000

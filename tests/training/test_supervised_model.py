"""Fine-tuning: what its loss is, what it moves and what it leaves, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from labelled_sample import NAMES, SPACE, parks, tuner_of, words_of
from small_state import train
from torch.nn import functional

from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.encoders.point_encoder import PointEncoder
from clip3d_cli.errors import SetupError
from clip3d_cli.labelling.label import label_cloud
from clip3d_cli.training.batch_loader import BatchLoader
from clip3d_cli.training.calibration import fit_text_head_scale
from clip3d_cli.training.loop import Loss
from clip3d_cli.training.losses import WordTargets, accepted_words_loss
from clip3d_cli.training.state import LoopOptions, TrainState
from clip3d_cli.training.supervised.batches import LabelledBatch
from clip3d_cli.training.supervised.lovasz import lovasz_softmax
from clip3d_cli.training.supervised.model import FineTuner


def loss_of(network: Any, batch: LabelledBatch, done: int) -> Loss:
    answer: Loss = network(batch, done)
    return answer


@pytest.fixture(scope="module")
def batch() -> LabelledBatch:
    made = parks(1, scenes=1, augment=False)(0)
    unjudged = torch.arange(len(made.truth)) % 5 == 0
    return replace(made, truth=torch.where(unjudged, -1, made.truth))


def trunk_of(tuner: FineTuner, batch: LabelledBatch) -> torch.Tensor:
    return tuner._trunk(tuner.encoder, batch.voxels)


@pytest.mark.parametrize("words_each", [1, 3])
def test_the_loss_is_the_sum_of_what_is_said_of_it(batch: LabelledBatch, words_each: int) -> None:
    words = words_of(NAMES, words_each)
    tuner = tuner_of(lovasz_weight=0.5, words_weight=2.0, words=words)
    loss, parts = tuner(batch, 0)
    assert (loss.shape, loss.dtype) == ((), torch.float32)
    trunk = trunk_of(tuner, batch)
    logits = tuner.closed(trunk)
    judged = batch.truth >= 0
    targets = WordTargets(torch.from_numpy(words.vectors), batch.truth, tuner.accepted)
    head: Any = tuner.encoder.network.head
    vectors = functional.normalize(head(trunk), dim=1)
    shares = functional.pad(14 * vectors @ targets.vectors.T, (0, 1)).softmax(dim=1)[judged]
    of_class = [shares[:, k * words_each : (k + 1) * words_each].sum(dim=1) for k in range(3)]
    lovasz = lovasz_softmax(torch.stack(of_class, dim=1), batch.truth[judged])
    wanted = {
        "cross_entropy": functional.cross_entropy(logits, batch.truth, ignore_index=-1),
        "lovasz": 0.5 * lovasz_softmax(logits.softmax(dim=1)[judged], batch.truth[judged]),
        "words": 2 * accepted_words_loss(vectors, targets, torch.tensor(14.0)) + 2 * 0.5 * lovasz,
    }
    assert list(parts) == list(wanted)
    for name, value in wanted.items():
        assert parts[name].item() == pytest.approx(value.item(), rel=1e-4), name
    assert loss.item() == pytest.approx(sum(value.item() for value in wanted.values()), rel=1e-4)


def test_features_of_half_precision_are_learned_from(batch: LabelledBatch) -> None:
    full = tuner_of(keep_weight=1.0)
    half = FineTuner(full.encoder, words_of(), full.options, dtype=torch.bfloat16)
    half.closed.load_state_dict(full.closed.state_dict())
    loss, _ = half(batch, 0)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(full(batch, 0)[0].item(), rel=0.05)
    loss.backward()
    assert all(torch.isfinite(weight.grad).all() for weight in half.parameters())  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{"keep_weight": 1.0}, {"linear_probe": True}])
def test_on_a_gpu_the_loss_is_the_same(batch: LabelledBatch, options: dict[str, Any]) -> None:
    wanted = tuner_of(**options)(batch, 0)[0].item()
    tuner = tuner_of(**options).to("cuda")
    loss, _ = tuner(batch.to("cuda"), 0)
    assert loss.item() == pytest.approx(wanted, rel=1e-3)
    loss.backward()
    assert 0 < fit_text_head_scale(tuner, [batch.to("cuda")]) <= 100


def test_what_has_no_weight_is_not_there(batch: LabelledBatch) -> None:
    tuner = tuner_of(lovasz_weight=0.0, words_weight=0.0)
    loss, parts = tuner(batch, 0)
    assert list(parts) == ["cross_entropy"]
    loss.backward()
    assert tuner.encoder.network.head.weight.grad is None  # type: ignore[union-attr]
    assert tuner.closed.weight.grad is not None


def test_keeping_asks_for_the_vectors_of_the_start(batch: LabelledBatch) -> None:
    tuner = tuner_of(keep_weight=3.0).eval()
    assert tuner(batch, 0)[1]["keep"].item() == pytest.approx(0, abs=1e-5)
    before = tuner.encoder(batch.voxels)
    with torch.no_grad():
        tuner.encoder.network.head.bias += 0.3  # type: ignore[operator]
        tuner.encoder.network.stem.weight *= 1.2  # type: ignore[operator]
    after = tuner.encoder(batch.voxels)
    wanted = 3 * (1 - (before * after).sum(dim=1).mean())
    assert wanted.item() > 0.01
    loss, parts = tuner(batch, 0)
    assert parts["keep"].item() == pytest.approx(wanted.item(), rel=1e-3)
    # What is kept is no part of the network: neither saved nor trained.
    assert set(tuner.state_dict()) == set(tuner_of().state_dict())
    loss.backward()
    assert all(weight.grad is None for weight in tuner._start_encoder[0].parameters())


def test_words_of_another_space_are_refused() -> None:
    other = replace(words_of(), space=FeatureSpace("test/other", SPACE.dim))
    with pytest.raises(SetupError, match="E_SPACE_MISMATCH"):
        tuner_of(words=other)


@pytest.mark.parametrize("options", [{}, {"linear_probe": True}, {"keep_weight": 1.0}])
def test_a_batch_without_truth_changes_nothing_but_what_is_kept(
    batch: LabelledBatch, options: dict[str, Any]
) -> None:
    tuner = tuner_of(**options)
    loss, parts = tuner(replace(batch, truth=torch.full_like(batch.truth, -1)), 0)
    assert all(value.item() == 0 for name, value in parts.items() if name != "keep")
    loss.backward()
    assert tuner.closed.weight.grad is not None
    assert not tuner.closed.weight.grad.any()


OPTIONS = LoopOptions(3, 0.05, warmup_steps=0, average_decay=0.9)
# The second step is at the cosine's end, where the rate is zero.
PLAIN = LoopOptions(
    2, 0.1, 0.0, warmup_steps=0, clip_norm=0, average_decay=0, optimizer="sgd", dampening=0
)


def _state(tuner: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in tuner.state_dict().items()}


def test_a_linear_probe_leaves_the_encoder_to_the_bit() -> None:
    # Whatever else is asked for.
    tuner = tuner_of(linear_probe=True, words_weight=1.0, keep_weight=1.0)
    before = _state(tuner)
    state = TrainState(tuner, OPTIONS)
    learning = [name for name, weight in tuner.named_parameters() if weight.requires_grad]
    assert learning == ["closed.weight", "closed.bias"]
    assert train(state, BatchLoader(parks(scenes=1)), loss_of)
    assert tuner.training
    for network in (tuner, state.averaged):
        for name, value in network.state_dict().items():
            changed = not torch.equal(value, before[name])
            assert changed == name.startswith("closed."), name


def test_fine_tuning_moves_everything() -> None:
    tuner = tuner_of()
    before = _state(tuner)
    train(TrainState(tuner, OPTIONS), BatchLoader(parks(scenes=1)), loss_of)
    same = [name for name, value in tuner.state_dict().items() if torch.equal(value, before[name])]
    assert same == []


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_the_factor_scales_the_closed_head_alone(kind: Any) -> None:
    steps: list[dict[str, torch.Tensor]] = []
    for factor in (1.0, 10.0):
        tuner = tuner_of()
        before = _state(tuner)
        state = TrainState(tuner, replace(PLAIN, optimizer=kind, head_factor=factor))
        train(state, BatchLoader(parks(scenes=1)), loss_of)
        steps.append({name: v - before[name] for name, v in tuner.state_dict().items()})
    for name, once in steps[0].items():
        if name.startswith("closed."):
            assert once.any()
            torch.testing.assert_close(steps[1][name], 10 * once, rtol=1e-4, atol=1e-6)
        else:
            assert torch.equal(steps[1][name], once), name


def test_narrow_weights_of_the_head_do_not_decay() -> None:
    groups = TrainState(tuner_of(), replace(OPTIONS, head_factor=7.0)).optimizer.param_groups
    found = [(len(group["params"]) > 2, group["factor"], group["weight_decay"]) for group in groups]
    assert found == [(True, 1, 0.02), (True, 1, 0), (False, 7, 0.02), (False, 7, 0)]


@pytest.fixture(scope="module")
def learned() -> FineTuner:
    tuner = tuner_of()
    options = LoopOptions(40, 0.01, warmup_steps=5, average_decay=0.9, head_factor=3.0)
    state = TrainState(tuner, options)
    assert train(state, BatchLoader(parks(3, scenes=1)), loss_of)
    averaged = state.averaged
    assert isinstance(averaged, FineTuner)
    return averaged.eval()


def test_both_heads_learn_what_can_be_told_apart(learned: FineTuner) -> None:
    unseen = parks(5, scenes=5, augment=False)
    text, closed, truth = learned.predict(unseen(0))
    for answers in (text, closed):
        right = answers.argmax(dim=1) == truth
        for index in range(3):
            assert right[truth == index].float().mean() > 0.9, NAMES[index]


def test_what_labels_clouds_answers_words_as_well(learned: FineTuner) -> None:
    maker = parks(5)
    scene = maker.scenes[4]
    cloud, truth = maker.dataset.cloud(scene.sweeps[0]), maker.dataset.ground_truth(scene)
    encoder = PointEncoder(learned.encoder.spec, learned.encoder.network).eval()
    found = label_cloud(cloud, encoder, words_of()).class_index
    assert all((found == truth)[truth == index].mean() > 0.9 for index in range(3))


def test_the_scale_of_words_fits_how_sure_they_can_be(learned: FineTuner) -> None:
    made = [parks(5, scenes=1)(number) for number in range(3)]
    # One answer in five is wrong: so sure they can be, and no surer.
    batches = [
        replace(batch, truth=(batch.truth + (torch.arange(len(batch.truth)) % 5 == 0)) % 3)
        for batch in made
    ]
    fitted = fit_text_head_scale(learned, batches)
    assert 1 < fitted < fit_text_head_scale(learned, made)
    answers = [learned.predict(batch) for batch in batches]
    truth = torch.cat([truth for *_, truth in answers])
    logits = functional.pad(torch.cat([cosines for cosines, *_ in answers]), (0, 1))
    entropies = [
        functional.cross_entropy(scale * logits, truth).item()
        for scale in (fitted, fitted / 1.3, fitted * 1.3)
    ]
    assert entropies[0] == min(entropies)
    assert fit_text_head_scale(learned, []) == 1

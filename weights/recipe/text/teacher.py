"""A kernel regression from what is known of a phrase to its CLIP vector.

Its few dozen hyper-parameters are chosen inside the training phrases alone: each phrase is
predicted from the folds that hold none of its names, and must find its own vector among all.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch.nn import functional

from weights.recipe.text.features import Known
from weights.recipe.text.phrases import name_keys

PRODUCTS = (("bare6", "letters"), ("gloss6", "broader"), ("photo6", "words"), ("bare0", "photo6"),
            ("gloss6", "photo6"), ("bare3", "letters"), ("photo6", "broader"))  # fmt: skip
TEMPERATURE = 0.07


@dataclass(frozen=True, slots=True)
class Cosines:
    """Cosines between two sets of phrases, block by block, and the distances of their forms.

    ``blocks`` maps a block to (A, B) float32; ``form`` is (F, A, B) squared differences.
    """

    blocks: dict[str, torch.Tensor]
    form: torch.Tensor


def compare(left: Known, right: Known) -> Cosines:
    """Give the cosines of every phrase of ``left`` (A) with every phrase of ``right`` (B)."""
    blocks = {name: torch.from_numpy(left.dense[name] @ right.dense[name].T) for name in left.dense}
    for name in left.counts:
        product = left.counts[name] @ right.counts[name].T
        blocks[name] = torch.from_numpy(np.asarray(sparse.csr_matrix(product).todense()))
    a, b = torch.from_numpy(left.form), torch.from_numpy(right.form)
    form = (a.T[:, :, None] - b.T[:, None, :]) ** 2
    return Cosines(blocks, form)


class Kernel(torch.nn.Module):
    """A weighted sum of kernels on blocks, of products of two, all damped by a change of form."""

    def __init__(self, blocks: list[str], form_width: int) -> None:
        """Start with every block equally weighted."""
        super().__init__()
        self.blocks = blocks
        count = len(blocks)
        self.log_weight = torch.nn.Parameter(torch.full((count,), -1.0))
        self.log_width = torch.nn.Parameter(torch.full((count,), -0.5))
        self.log_product = torch.nn.Parameter(torch.full((len(PRODUCTS),), -1.0))
        self.log_product_width = torch.nn.Parameter(torch.full((len(PRODUCTS), 2), 0.0))
        self.log_form = torch.nn.Parameter(torch.full((form_width,), -1.5))
        self.form_floor = torch.nn.Parameter(torch.tensor(1.0))
        self.log_form_weight = torch.nn.Parameter(torch.tensor(-1.0))
        self.log_noise = torch.nn.Parameter(torch.tensor(-1.5))

    def forward(self, cosines: Cosines) -> torch.Tensor:
        """Give the (A, B) kernel matrix."""
        content = torch.zeros(())
        for i, name in enumerate(self.blocks):
            near = torch.exp((cosines.blocks[name] - 1) / self.log_width[i].exp())
            content = content + self.log_weight[i].exp() * near
        for i, (first, second) in enumerate(PRODUCTS):
            width = self.log_product_width[i].exp()
            far = (1 - cosines.blocks[first]) / width[0] + (1 - cosines.blocks[second]) / width[1]
            content = content + self.log_product[i].exp() * torch.exp(-far)
        same_form = torch.exp(-torch.einsum("fab,f->ab", cosines.form, self.log_form.exp()))
        floor = torch.sigmoid(self.form_floor)
        return content * (floor + (1 - floor) * same_form) + self.log_form_weight.exp() * same_form


def read_kernel(path: Path) -> Kernel:
    """Read hyper-parameters that `write_kernel` wrote."""
    stored = json.loads(path.read_text())
    kernel = Kernel(stored["blocks"], len(stored["parameters"]["log_form"]))
    kernel.load_state_dict({k: torch.tensor(v) for k, v in stored["parameters"].items()})
    return kernel


def write_kernel(path: Path, kernel: Kernel) -> None:
    """Write the hyper-parameters as JSON."""
    parameters = {name: value.tolist() for name, value in kernel.state_dict().items()}
    path.write_text(json.dumps({"blocks": kernel.blocks, "parameters": parameters}, indent=1))


def folds_by_name(names: tuple[str, ...], count: int, seed: int) -> np.ndarray:
    """Give each phrase a fold, (P,) int64, so that spellings of one name share a fold."""
    slot: dict[str, int] = {}
    pairs = [(row, slot.setdefault(key, len(slot))) for row, name in enumerate(names)
             for key in name_keys(name)]  # fmt: skip
    rows, keys = np.array(pairs).T
    links = sparse.coo_matrix((np.ones(len(rows)), (rows, keys)), (len(names), len(slot)))
    groups = connected_components(links @ links.T, directed=False)[1]
    folds: np.ndarray = np.random.default_rng(seed).permutation(groups.max() + 1)[groups] % count
    return folds


def predict_folds(gram: torch.Tensor, noise: torch.Tensor, targets: torch.Tensor,
                  folds: torch.Tensor) -> torch.Tensor:  # fmt: skip
    """Predict each row of ``targets`` (P, D) from the other folds, in closed form.

    With H the inverse of the regularised kernel matrix, the residual of fold B is
    inv(H[B, B]) @ (H @ Y)[B]  (Rasmussen and Williams 2006, equation 5.12, for blocks).
    """
    inverse = torch.linalg.inv(gram + noise * torch.eye(len(gram)))
    weighted = inverse @ targets
    predicted = torch.empty_like(targets)
    for fold in range(int(folds.max()) + 1):
        rows = torch.nonzero(folds == fold)[:, 0]
        residual = torch.linalg.solve(inverse[rows][:, rows], weighted[rows])
        predicted = predicted.index_put((rows,), targets[rows] - residual)
    return predicted


def fold_loss(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give how badly predictions find their own target: cross entropy plus one minus cosine."""
    p = functional.normalize(predicted, dim=1)
    t = functional.normalize(targets, dim=1)
    similarity = p @ t.T
    own = torch.arange(len(p))
    return (
        functional.cross_entropy(similarity / TEMPERATURE, own) + 1 - similarity.diagonal().mean()
    )


def fit_kernel(
    cosines: Cosines, targets: torch.Tensor, folds: torch.Tensor, *, steps: int
) -> Kernel:
    """Choose the hyper-parameters by gradient descent on the loss of predicting left-out folds."""
    kernel = Kernel(sorted(cosines.blocks), len(cosines.form))
    optimizer = torch.optim.Adam(kernel.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        predicted = predict_folds(kernel(cosines), kernel.log_noise.exp(), targets, folds)
        loss = fold_loss(predicted, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 10 == 0 or step == steps - 1:
            print(f"teacher step {step}: loss over left-out folds {float(loss.detach()):.4f}")
    return kernel

"""Kernel of the regression from features of a phrase to its CLIP vector.

Its few dozen hyperparameters are fitted by cross-validation within the training phrases: each
phrase is predicted from the folds that contain none of its names, and its own vector must be the
nearest to the prediction.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch.nn import functional

from weights.recipe.text.features import PhraseFeatures
from weights.recipe.text.phrases import name_keys

PRODUCTS = (("bare6", "letters"), ("gloss6", "broader"), ("photo6", "words"), ("bare0", "photo6"),
            ("gloss6", "photo6"), ("bare3", "letters"), ("photo6", "broader"))  # fmt: skip
TEMPERATURE = 0.07


@dataclass(frozen=True, slots=True)
class Similarities:
    """Similarities between A phrases and B phrases.

    Attributes:
        blocks: (A, B) float32 cosines, by block of features.
        form: (F, A, B) float32 squared differences of the form features.
    """

    blocks: dict[str, torch.Tensor]
    form: torch.Tensor


def compute_similarities(left: PhraseFeatures, right: PhraseFeatures) -> Similarities:
    """Compare each of A phrases with each of B phrases."""
    blocks = {name: torch.from_numpy(left.dense[name] @ right.dense[name].T) for name in left.dense}
    for name in left.counts:
        product = left.counts[name] @ right.counts[name].T
        blocks[name] = torch.from_numpy(np.asarray(sparse.csr_matrix(product).todense()))
    a, b = torch.from_numpy(left.form), torch.from_numpy(right.form)
    form = (a.T[:, :, None] - b.T[:, None, :]) ** 2
    return Similarities(blocks, form)


class Kernel(torch.nn.Module):
    """A weighted sum of kernels of blocks and of products of two blocks.

    The sum is reduced where two phrases differ in form, and a kernel of the form alone is added.
    """

    def __init__(self, blocks: list[str], form_width: int) -> None:
        """Start with equal weights.

        Args:
            blocks: names of the blocks of features.
            form_width: F, number of form features.
        """
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

    def forward(self, similarities: Similarities) -> torch.Tensor:
        """Return the kernel matrix, (A, B)."""
        content = torch.zeros(())
        for i, name in enumerate(self.blocks):
            near = torch.exp((similarities.blocks[name] - 1) / self.log_width[i].exp())
            content = content + self.log_weight[i].exp() * near
        for i, (first, second) in enumerate(PRODUCTS):
            width = self.log_product_width[i].exp()
            first_distance = (1 - similarities.blocks[first]) / width[0]
            second_distance = (1 - similarities.blocks[second]) / width[1]
            near = torch.exp(-(first_distance + second_distance))
            content = content + self.log_product[i].exp() * near
        same_form = torch.exp(-torch.einsum("fab,f->ab", similarities.form, self.log_form.exp()))
        floor = torch.sigmoid(self.form_floor)
        return content * (floor + (1 - floor) * same_form) + self.log_form_weight.exp() * same_form


def read_kernel(path: Path) -> Kernel:
    """Read the hyperparameters that `write_kernel` wrote."""
    stored = json.loads(path.read_text())
    kernel = Kernel(stored["blocks"], len(stored["parameters"]["log_form"]))
    kernel.load_state_dict({k: torch.tensor(v) for k, v in stored["parameters"].items()})
    return kernel


def write_kernel(path: Path, kernel: Kernel) -> None:
    """Write the hyperparameters as JSON."""
    parameters = {name: value.tolist() for name, value in kernel.state_dict().items()}
    path.write_text(json.dumps({"blocks": kernel.blocks, "parameters": parameters}, indent=1))


def assign_folds(names: tuple[str, ...], count: int, seed: int) -> np.ndarray:
    """Return a fold for each of P phrases, (P,) int64; spellings of one name share a fold.

    Args:
        names: names of the phrases.
        count: number of folds.
        seed: seed of the random assignment.
    """
    column: dict[str, int] = {}
    pairs = [(row, column.setdefault(key, len(column))) for row, name in enumerate(names)
             for key in name_keys(name)]  # fmt: skip
    rows, keys = np.array(pairs).T
    # Phrases are connected through the keys of their names.
    links = sparse.coo_matrix((np.ones(len(rows)), (rows, keys)), (len(names), len(column)))
    groups = connected_components(links @ links.T, directed=False)[1]
    folds: np.ndarray = np.random.default_rng(seed).permutation(groups.max() + 1)[groups] % count
    return folds


def predict_folds(gram: torch.Tensor, noise: torch.Tensor, targets: torch.Tensor,
                  folds: torch.Tensor) -> torch.Tensor:  # fmt: skip
    """Predict each row of the targets from the other folds, in closed form.

    With H the inverse of the regularized kernel matrix, the residual of fold B is
    inv(H[B, B]) @ (H @ Y)[B] (Rasmussen and Williams 2006, equation 5.12, for blocks).

    Args:
        gram: (P, P) kernel matrix.
        noise: scalar, added to the diagonal.
        targets: (P, D).
        folds: (P,) int64.
    """
    inverse = torch.linalg.inv(gram + noise * torch.eye(len(gram)))
    weighted = inverse @ targets
    predicted = torch.empty_like(targets)
    for fold in range(int(folds.max()) + 1):
        rows = torch.nonzero(folds == fold)[:, 0]
        residual = torch.linalg.solve(inverse[rows][:, rows], weighted[rows])
        predicted = predicted.index_put((rows,), targets[rows] - residual)
    return predicted


def retrieval_loss(predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross entropy of finding each prediction's target, plus one minus cosine."""
    p = functional.normalize(predicted, dim=1)
    t = functional.normalize(targets, dim=1)
    similarity = p @ t.T
    own = torch.arange(len(p))
    return (
        functional.cross_entropy(similarity / TEMPERATURE, own) + 1 - similarity.diagonal().mean()
    )


def fit_kernel(
    similarities: Similarities, targets: torch.Tensor, folds: torch.Tensor, *, steps: int
) -> Kernel:
    """Fit the hyperparameters by gradient descent on the loss of predicting left-out folds.

    Args:
        similarities: similarities of P phrases with each other.
        targets: (P, D).
        folds: (P,) int64.
        steps: number of steps.
    """
    kernel = Kernel(sorted(similarities.blocks), len(similarities.form))
    optimizer = torch.optim.Adam(kernel.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        optimizer.zero_grad()
        predicted = predict_folds(kernel(similarities), kernel.log_noise.exp(), targets, folds)
        loss = retrieval_loss(predicted, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 10 == 0 or step == steps - 1:
            print(f"kernel step {step}: loss over left-out folds {float(loss.detach()):.4f}")
    return kernel

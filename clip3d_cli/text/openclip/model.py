"""Any open_clip model, and its text side: the one file that imports open_clip."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from clip3d_cli import registry
from clip3d_cli.core.vocabulary import FeatureSpace
from clip3d_cli.errors import SetupError, UsageError
from clip3d_cli.text.openclip.folder import folder_fault, read_folder

DEFAULT_MODEL = "ViT-B-32/openai"

_BATCH = 256
_LOCAL = "local-dir:"
_INSTEAD = "use --text-encoder mini, which needs neither torchvision nor a download"


class OpenClipTextEncoder:
    """The text encoder of an open_clip model with one of its sets of trained weights.

    Attributes:
        space: "openclip/<model>/<tag>"; a model and its "-quickgelu" twin are one space.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        cache: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Load a model, from the cache where it is there, else from the hub.

        Args:
            model: "<model>/<tag>" or a folder, see `find_model`.
            cache: folder of downloads; by default the hub's own.
            device: where to compute.

        Raises:
            UsageError: open_clip knows no such model or tag, or a folder's words are embedded
                by something else.
            SetupError: open_clip cannot be imported, or the weights cannot be had.
        """
        found = find_model(model, cache=cache, what="text encoder", instead=_INSTEAD)
        if found.text_encoder.partition(":")[0] != "openclip":
            fault = f"its words are embedded by {found.text_encoder}"
            remedy = f"Use --text-encoder {found.text_encoder}."
            raise UsageError("E_UNKNOWN_NAME", model, fault, remedy)
        self._device = torch.device(device)
        self._model = found.load(self._device)
        self._tokenizer = found.tokenizer()
        self.space = found.space

    def is_truncated(self, prompt: str) -> bool:
        """Whether the last words of a prompt are too far back to be read."""
        length = self._tokenizer([""]).shape[1]
        beyond = self._tokenizer([prompt], context_length=2 * length)[0, length:]
        return bool((beyond != beyond[-1]).any())

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Embed prompts as (P, D) float32 of unit length, in their order."""
        out = np.empty((len(prompts), self.space.dim), dtype=np.float32)
        for start in range(0, len(prompts), _BATCH):
            tokens = self._tokenizer(list(prompts[start : start + _BATCH])).to(self._device)
            vectors = self._model.encode_text(tokens).float()
            out[start : start + _BATCH] = functional.normalize(vectors, dim=1).cpu().numpy()
        return out


@dataclass(frozen=True, slots=True)
class FoundModel:
    """One of open_clip's models with trained weights, not loaded yet.

    Attributes:
        name: open_clip's name of the model; of a folder, its path behind "local-dir:".
        tag: the set of weights, or None for those in the folder.
        identity: a line that no other model has; a model and its "-quickgelu" twin are one.
        settings: open_clip's description of the network.
        space: where its vectors live.
        text_encoder: what embeds the words that its images are compared with, as the text
            encoders' names go.
        cache: folder of downloads, or None for the hub's own.
        instead: what to do without this model: the end of a refusal's remedy.
    """

    name: str
    tag: str | None
    identity: str
    settings: dict[str, Any]
    space: FeatureSpace
    text_encoder: str
    cache: Path | None
    instead: str

    @property
    def folder(self) -> Path | None:
        """Where the weights lie, or None: in the hub or the cache."""
        return Path(self.name.removeprefix(_LOCAL)) if self.tag is None else None

    def load(self, device: torch.device) -> Any:
        """The network with its weights, in evaluation mode.

        Raises:
            SetupError: the weights cannot be had, or do not fit.
        """
        open_clip = _import_open_clip(self.instead)
        quick = self.tag is not None and _wants_quick_gelu(open_clip, self.name, self.tag)
        with _quiet(), self._refusing():
            return open_clip.create_model(
                self.name,
                self.tag,
                device=device,
                cache_dir=str(self.cache) if self.cache else None,
                # Weights trained with the quick form of GELU give other vectors without it,
                # and open_clip only warns. A folder's own settings say which form it takes.
                force_quick_gelu=quick,
                require_pretrained=True,
                # Refuses pickles that would run code.
                weights_only=True,
            ).eval()

    def tokenizer(self) -> Any:
        """What cuts prompts into tokens.

        Raises:
            SetupError: it cannot be had.
        """
        open_clip = _import_open_clip(self.instead)
        with _quiet(), self._refusing():
            return open_clip.get_tokenizer(
                self.name, cache_dir=str(self.cache) if self.cache else None
            )

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        # Download and file errors come as a dozen types, some of them bare Exceptions.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            if self.folder is not None:
                raise folder_fault(self.folder, f"cannot be loaded: {reason}") from error
            cache = self.cache
            if cache is None:
                from huggingface_hub.constants import HF_HUB_CACHE

                cache = Path(HF_HUB_CACHE)
            fault = f"no weights {self.tag!r} in {cache} and none could be fetched: {reason}"
            remedy = (
                "Connect to the internet once, or copy that folder from a machine that has "
                f"them; or {self.instead}."
            )
            raise SetupError("E_WEIGHTS", f"open_clip {self.name}", fault, remedy) from error


def find_model(model: str, *, cache: Path | None = None, what: str, instead: str) -> FoundModel:
    """Look a model up, without reading its weights.

    Args:
        model: "<model>/<tag>" as in ``open_clip.list_pretrained()``; or a folder with
            open_clip_config.json and open_clip_model.safetensors, as open_clip writes it.
            A clip3d.json there may say in which space the vectors live and what embeds words:
            ``{"space": {"name": …, "dim": …}, "text_encoder": "mini"}``.
        cache: folder of downloads; by default the hub's own.
        what: what is looked for, for messages.
        instead: what to do without this model: the end of a refusal's remedy.

    Raises:
        UsageError: open_clip knows no such model or tag.
        SetupError: open_clip cannot be imported, or the folder does not hold what it should.
    """
    open_clip = _import_open_clip(instead)
    folder = Path(model).expanduser()
    if folder.is_dir() or model.startswith(("/", ".", "~")):
        held = read_folder(folder)
        return FoundModel(
            name=f"{_LOCAL}{folder}",
            tag=None,
            identity=held.identity,
            settings=held.settings,
            space=held.space,
            text_encoder=held.text_encoder,
            cache=cache,
            instead=instead,
        )
    name, tag = _known_model(open_clip, model, what)
    settings = open_clip.get_model_config(name)
    identity = f"{name.removesuffix('-quickgelu')}/{tag}"
    return FoundModel(
        name=name,
        tag=tag,
        identity=identity,
        settings=settings,
        space=FeatureSpace(f"openclip/{identity}", settings["embed_dim"]),
        text_encoder=f"openclip:{name}/{tag}",
        cache=cache,
        instead=instead,
    )


def _import_open_clip(instead: str = _INSTEAD) -> ModuleType:
    try:
        import open_clip
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        fault = f"torchvision does not belong to this PyTorch {torch.__version__}: {error}"
        remedy = (
            "Install both from one source, for example: pip install --force-reinstall torch "
            f"torchvision; or {instead}."
        )
        raise SetupError("E_TORCHVISION", "open_clip", fault, remedy) from error
    except ImportError as error:
        remedy = f"Install it: pip install open_clip_torch; or {instead}."
        raise SetupError(
            "E_WEIGHTS", "open_clip", f"cannot be imported: {error}", remedy
        ) from error
    module: ModuleType = open_clip
    return module


def _known_model(open_clip: ModuleType, model: str, what: str) -> tuple[str, str]:
    """Split "<model>/<tag>" and check both against open_clip's own list."""
    known: list[tuple[str, str]] = open_clip.list_pretrained()
    name, _, tag = model.rpartition("/")
    if not name:
        fault = f"{model!r} is not <model>/<tag>"
        raise UsageError("E_UNKNOWN_NAME", what, fault, f"Say for example {DEFAULT_MODEL}.")
    tags = [t for n, t in known if n == name]
    if not tags:
        raise registry.unknown_name("open_clip model", name, dict.fromkeys(n for n, _ in known))
    if tag not in tags:
        raise registry.unknown_name(f"weights of {name}", tag, tags)
    return name, tag


def _wants_quick_gelu(open_clip: ModuleType, name: str, tag: str) -> bool:
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag)
    return bool(settings.get("quick_gelu", False))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from logging to the root logger, which would print."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

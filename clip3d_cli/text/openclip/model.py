"""open_clip models and their text encoders: the only module that imports open_clip."""

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
from clip3d_cli.core.embeddings import FeatureSpace
from clip3d_cli.errors import SetupError, UsageError
from clip3d_cli.text.openclip.folder import folder_error, read_folder

DEFAULT_MODEL = "ViT-B-32/openai"

_BATCH_PROMPTS = 256
# Prefix of open_clip's names of models in local folders.
_LOCAL = "local-dir:"
_ALTERNATIVE = "use --text-encoder mini, which needs neither torchvision nor a download"


class OpenClipTextEncoder:
    """The text encoder of an open_clip model.

    Attributes:
        space: "openclip/<model>/<tag>"; a model and its "-quickgelu" variant share one space.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        cache: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """Load a model from the cache, or download it if it is not there.

        Args:
            model: "<model>/<tag>" or a folder, see `find_model`.
            cache: folder of downloads; the default of the Hugging Face hub if None.
            device: device that computes.

        Raises:
            UsageError: E_UNKNOWN_NAME: open_clip has no such model or tag, or the words of the
                model in a folder are embedded by another text encoder.
            SetupError: open_clip cannot be imported, or the weights are missing and cannot be
                downloaded.
        """
        found = find_model(model, cache=cache, purpose="text encoder", alternative=_ALTERNATIVE)
        if found.text_encoder.partition(":")[0] != "openclip":
            fault = f"its words are embedded by {found.text_encoder}"
            remedy = f"Use --text-encoder {found.text_encoder}."
            raise UsageError("E_UNKNOWN_NAME", model, fault, remedy)
        self._device = torch.device(device)
        self._model = found.load(self._device)
        self._tokenizer = found.tokenizer()
        self.space = found.space

    def is_truncated(self, prompt: str) -> bool:
        """Return whether a prompt is too long, so that its last words are ignored."""
        length = self._tokenizer([""]).shape[1]
        # Tokens beyond the length are all padding if the prompt fits.
        beyond = self._tokenizer([prompt], context_length=2 * length)[0, length:]
        return bool((beyond != beyond[-1]).any())

    @torch.inference_mode()
    def __call__(self, prompts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return a unit vector for each of P prompts, (P, D) float32, in their order."""
        out = np.empty((len(prompts), self.space.dim), dtype=np.float32)
        for start in range(0, len(prompts), _BATCH_PROMPTS):
            batch = list(prompts[start : start + _BATCH_PROMPTS])
            vectors = self._model.encode_text(self._tokenizer(batch).to(self._device)).float()
            unit = functional.normalize(vectors, dim=1).cpu().numpy()
            out[start : start + _BATCH_PROMPTS] = unit
        return out


@dataclass(frozen=True, slots=True)
class OpenClipModel:
    """A model of open_clip whose weights are not loaded yet.

    Attributes:
        name: open_clip's name of the model; for a folder, "local-dir:" and its path.
        tag: name of the trained weights, or None for those in a folder.
        identity: unique name of the model with its weights; a model and its "-quickgelu" variant
            share one.
        settings: open_clip's settings of the network.
        space: feature space of the model.
        text_encoder: registered name of the text encoder for words that are compared with the
            model's images.
        cache: folder of downloads, or None for the default of the hub.
        alternative: what users can do without this model: the end of an error's remedy.
    """

    name: str
    tag: str | None
    identity: str
    settings: dict[str, Any]
    space: FeatureSpace
    text_encoder: str
    cache: Path | None
    alternative: str

    @property
    def folder(self) -> Path | None:
        """The folder of the weights; None for a model of the hub."""
        return Path(self.name.removeprefix(_LOCAL)) if self.tag is None else None

    def load(self, device: torch.device) -> Any:
        """Return the network with its weights, in evaluation mode.

        Raises:
            SetupError: E_WEIGHTS: the weights are missing and cannot be downloaded, or do not fit
                the network.
        """
        open_clip = _import_open_clip(self.alternative)
        quick = self.tag is not None and _needs_quick_gelu(open_clip, self.name, self.tag)
        with _silence_logging(), self._converting_errors():
            return open_clip.create_model(
                self.name,
                self.tag,
                device=device,
                cache_dir=str(self.cache) if self.cache else None,
                # Weights that were trained with the fast form of GELU give other vectors without
                # it, and open_clip only warns. The settings in a folder already say which to use.
                force_quick_gelu=quick,
                require_pretrained=True,
                # Rejects pickles that would run code.
                weights_only=True,
            ).eval()

    def tokenizer(self) -> Any:
        """Return open_clip's tokenizer of the model.

        Raises:
            SetupError: E_WEIGHTS: it is missing and cannot be downloaded.
        """
        open_clip = _import_open_clip(self.alternative)
        with _silence_logging(), self._converting_errors():
            return open_clip.get_tokenizer(
                self.name, cache_dir=str(self.cache) if self.cache else None
            )

    @contextmanager
    def _converting_errors(self) -> Iterator[None]:
        """Raise any error of open_clip or the hub as a `SetupError`."""
        try:
            yield
        # Errors of downloads and files have a dozen types, some of them plain Exception.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            if self.folder is not None:
                raise folder_error(self.folder, f"cannot be loaded: {reason}") from error
            cache = self.cache
            if cache is None:
                from huggingface_hub.constants import HF_HUB_CACHE

                cache = Path(HF_HUB_CACHE)
            fault = f"no weights {self.tag!r} in {cache}, and none could be downloaded: {reason}"
            remedy = (
                "Connect to the internet once, or copy that folder from a machine that has "
                f"them; or {self.alternative}."
            )
            raise SetupError("E_WEIGHTS", f"open_clip {self.name}", fault, remedy) from error


def find_model(
    model: str, *, cache: Path | None = None, purpose: str, alternative: str
) -> OpenClipModel:
    """Look up a model without loading its weights.

    Args:
        model: "<model>/<tag>" as in ``open_clip.list_pretrained()``; or a folder with
            ``open_clip_config.json`` and ``open_clip_model.safetensors``, as open_clip writes
            them. A ``clip3d.json`` there may name the feature space and the text encoder:
            ``{"space": {"name": …, "dim": …}, "text_encoder": "mini"}``.
        cache: folder of downloads; the default of the hub if None.
        purpose: what the model is used as, for messages.
        alternative: what users can do without this model: the end of an error's remedy.

    Raises:
        UsageError: E_UNKNOWN_NAME: open_clip has no such model or tag.
        SetupError: open_clip cannot be imported, or the folder is invalid.
    """
    open_clip = _import_open_clip(alternative)
    folder = Path(model).expanduser()
    if folder.is_dir() or model.startswith(("/", ".", "~")):
        described = read_folder(folder)
        return OpenClipModel(
            name=f"{_LOCAL}{folder}",
            tag=None,
            identity=described.identity,
            settings=described.settings,
            space=described.space,
            text_encoder=described.text_encoder,
            cache=cache,
            alternative=alternative,
        )
    name, tag = _split_model_name(open_clip, model, purpose)
    settings = open_clip.get_model_config(name)
    identity = f"{name.removesuffix('-quickgelu')}/{tag}"
    return OpenClipModel(
        name=name,
        tag=tag,
        identity=identity,
        settings=settings,
        space=FeatureSpace(f"openclip/{identity}", settings["embed_dim"]),
        text_encoder=f"openclip:{name}/{tag}",
        cache=cache,
        alternative=alternative,
    )


def _import_open_clip(alternative: str = _ALTERNATIVE) -> ModuleType:
    """Import open_clip, with errors that say how to repair the installation."""
    try:
        import open_clip
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        fault = f"torchvision was not built for this PyTorch {torch.__version__}: {error}"
        remedy = (
            "Install both from one source, for example: pip install --force-reinstall torch "
            f"torchvision; or {alternative}."
        )
        raise SetupError("E_TORCHVISION", "open_clip", fault, remedy) from error
    except ImportError as error:
        remedy = f"Install it: pip install open_clip_torch; or {alternative}."
        raise SetupError(
            "E_WEIGHTS", "open_clip", f"cannot be imported: {error}", remedy
        ) from error
    module: ModuleType = open_clip
    return module


def _split_model_name(open_clip: ModuleType, model: str, purpose: str) -> tuple[str, str]:
    """Split "<model>/<tag>", and check both against open_clip's list."""
    known: list[tuple[str, str]] = open_clip.list_pretrained()
    name, _, tag = model.rpartition("/")
    if not name:
        fault = f"{model!r} is not <model>/<tag>"
        raise UsageError("E_UNKNOWN_NAME", purpose, fault, f"Use for example {DEFAULT_MODEL}.")
    tags = [t for n, t in known if n == name]
    if not tags:
        names = dict.fromkeys(n for n, _ in known)
        raise registry.unknown_name_error("open_clip model", name, names)
    if tag not in tags:
        raise registry.unknown_name_error(f"weights of {name}", tag, tags)
    return name, tag


def _needs_quick_gelu(open_clip: ModuleType, name: str, tag: str) -> bool:
    """Return whether trained weights need the fast form of GELU."""
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(name, tag)
    return bool(settings.get("quick_gelu", False))


@contextmanager
def _silence_logging() -> Iterator[None]:
    """Keep open_clip from logging to the root logger, which would print to stderr."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

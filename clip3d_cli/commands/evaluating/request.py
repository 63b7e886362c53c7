"""A ``clip3d eval`` command line, checked before anything heavy is imported."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from clip3d_cli import registry
from clip3d_cli.commands.engine_choice import EngineChoice, refuse_text_options
from clip3d_cli.commands.evaluating.asked import EvalAsked, EvalRequest
from clip3d_cli.commands.terminal import Voice
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.core.vocabulary import Vocabulary
from clip3d_cli.datasets.dataset import Dataset
from clip3d_cli.datasets.selection import default_split, thinned
from clip3d_cli.encoders.spec import HeadName
from clip3d_cli.encoders.weights_file import read_spec, require_closed
from clip3d_cli.errors import UsageError
from clip3d_cli.formats.atomic import require_folder, require_new
from clip3d_cli.pipelines.evaluate.run import (
    EvalOptions,
    class_indices,
    judged_vocabulary,
    require_options,
)

_USUAL_SPLIT = "val"


def run_eval(asked: EvalAsked, choice: EngineChoice, voice: Voice) -> int:
    """The exit code of a ``clip3d eval``.

    Raises:
        Clip3DError: of the command line, the scenes, or this machine.
    """
    request = resolved(asked, choice)
    with voice.busy("starting"):
        # What can be refused without the engines has been.
        from clip3d_cli.commands.evaluating.run import judge

    return judge(request, voice)


def resolved(asked: EvalAsked, choice: EngineChoice) -> EvalRequest:
    """What a command line means, once everything in it is known to be there.

    Raises:
        UsageError: an unknown name, a wrong value, no truth, or a result that is there already.
        InputError: the data set cannot be read.
        OutputError: the folder of a result is missing or may not be written.
    """
    dataset = opened(asked.dataset, asked.root)
    words = _reworded(judged_vocabulary(dataset), asked.prompts)
    options = EvalOptions(
        convention=asked.metric,
        bands_m=_edges(asked.bands),
        ignored=_names(asked.ignore),
        novel=_names(asked.novel),
        panoptic=asked.panoptic,
    )
    require_options(dataset, options)
    split = asked.split or default_split(dataset, _USUAL_SPLIT)
    scenes = thinned(dataset.scenes(split), asked.limit or 0)
    _require_truth(scenes, split, asked)
    _require_room(asked, choice, dataset)
    head = _head(asked, choice, words)
    return EvalRequest(
        dataset=dataset,
        split=split,
        scenes=scenes,
        words=words,
        options=options,
        choice=dataclasses.replace(choice, head=head),
        output=asked.output,
        submission=asked.submission,
        as_json=asked.as_json,
    )


def opened(name: str | None, root: Path | None) -> Dataset:
    """The data set of --dataset and --root.

    Raises:
        UsageError: one of them is not given, or there is no such data set.
        InputError: the folder is not of its layout.
    """
    known = registry.names("datasets")
    if name is not None and name not in known:
        raise registry.unknown_name("--dataset", name, known)
    if name is None or root is None:
        raise UsageError(
            "E_USAGE",
            "--root" if name else "--dataset",
            "is not given",
            f"Say which scenes: --dataset NAME --root DIR, where NAME is one of "
            f"{', '.join(known)}.",
        )
    dataset: Dataset = registry.part("datasets", name)(root)
    return dataset


def _reworded(vocabulary: Vocabulary, prompts: Path | None) -> Vocabulary:
    """The vocabulary with the words of a file for the classes that the file names."""
    if prompts is None:
        return vocabulary
    if not prompts.is_file():
        raise UsageError("E_CLASSES", "--prompts", f"there is no file {prompts}", "Check the path.")
    given = {entry.name: entry.words for entry in Vocabulary.read(prompts).classes}
    class_indices(vocabulary, given, str(prompts))
    classes = (
        dataclasses.replace(entry, words=given.get(entry.name, entry.words))
        for entry in vocabulary.classes
    )
    return dataclasses.replace(vocabulary, classes=tuple(classes))


def _edges(text: str | None) -> tuple[float, ...]:
    """The metres of --bands."""
    try:
        edges = tuple(float(part) for part in _names(text))
        EvalOptions(bands_m=edges)
    except ValueError as error:
        raise UsageError(
            "E_BAD_VALUE",
            "--bands",
            f"{text!r} are no distances that rise from above 0",
            "Give metres, such as 20,40.",
        ) from error
    return edges


def _names(text: str | None) -> tuple[str, ...]:
    parts: Iterable[str] = (part.strip() for part in (text or "").split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def _require_truth(scenes: Sequence[PosedScene], split: str, asked: EvalAsked) -> None:
    if asked.submission is None and not any(scene.truth is not None for scene in scenes):
        raise UsageError(
            "E_DATASET",
            f"split {split}",
            "no scene has truth",
            "Judge another split, or write the answers for a server with --submission DIR.",
        )


def _require_room(asked: EvalAsked, choice: EngineChoice, dataset: Dataset) -> None:
    """Refuse results that cannot be written, or that would not be what they seem."""
    if asked.output is not None:
        require_folder(asked.output)
        for source in (choice.weights, asked.prompts):
            if source is not None and asked.output.exists() and asked.output.samefile(source):
                raise UsageError(
                    "E_SAME_FILE",
                    asked.output,
                    "is an input",
                    "clip3d never writes over its input.",
                )
        require_new(asked.output, overwrite=asked.overwrite)
    if asked.submission is None:
        return
    servers = registry.names("submissions")
    if dataset.name not in servers:
        raise UsageError(
            "E_UNSUPPORTED",
            "--submission",
            f"no benchmark takes answers for {dataset.name}",
            f"There is one for {', '.join(servers)}.",
        )
    if asked.limit is not None:
        raise UsageError(
            "E_USAGE",
            "--submission",
            "and --limit cannot both be given",
            "A benchmark wants answers for the whole split.",
        )


def _head(asked: EvalAsked, choice: EngineChoice, words: Vocabulary) -> HeadName:
    """The head that answers."""
    spec = read_spec(choice.weights)
    if asked.head == "closed":
        require_closed(spec, choice.weights)
        refuse_text_options(asked.templates, asked.text_encoder, asked.prompts)
    if asked.head != "auto":
        return asked.head
    known = set(spec.closed.names) if spec.closed is not None else set()
    knows_all = known.issuperset(entry.name for entry in words.classes)
    on_words = (asked.prompts, asked.templates, asked.text_encoder)
    return "closed" if knows_all and all(each is None for each in on_words) else "text"

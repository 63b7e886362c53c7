"""The judging of scenes: load the models as ``clip3d label`` does, answer, count, write."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

from clip3d_cli import registry
from clip3d_cli.commands.door import placed
from clip3d_cli.commands.engine import Engine, load_engine
from clip3d_cli.commands.evaluating.asked import EvalRequest
from clip3d_cli.commands.evaluating.show import show_judged
from clip3d_cli.commands.terminal import Voice, counted, give_json
from clip3d_cli.core.point_cloud import PointCloud
from clip3d_cli.core.scenes import PosedScene
from clip3d_cli.datasets.submission import Submission
from clip3d_cli.errors import Clip3DError
from clip3d_cli.pipelines.evaluate.document import About, evaluation_document, write_document
from clip3d_cli.pipelines.evaluate.run import (
    Answer,
    ClassIndex,
    evaluate,
    network_answer,
)


def judge(request: EvalRequest, voice: Voice) -> int:
    """The exit code of judging scenes.

    Raises:
        Clip3DError: the models cannot be had, a scene cannot be read, or a result not written.
    """
    with ExitStack() as stack:
        submission = None
        if request.submission is not None:
            row = registry.part("submissions", request.dataset.name)
            writer: Submission = row(request.dataset, request.submission, request.split)
            submission = stack.enter_context(writer)
        engine = load_engine(request.choice, request.words, voice)
        began = time.perf_counter()
        answer = _Timed(network_answer(engine.encoder, engine.classes))
        evaluation = evaluate(
            request.dataset,
            request.scenes,
            answer,
            request.options,
            submission=submission,
            progress=voice.progress,
        )
        sent = None if submission is None else submission.finish()
    rest = time.perf_counter() - began - answer.seconds
    seconds = {**engine.seconds, "label": answer.seconds, "read and count": rest}
    labelled = f"{counted(answer.points, 'point')} labelled in {answer.seconds:.1f} s"
    voice.note(f"{labelled} by the {request.choice.head} head")
    show_judged(evaluation, request.options, request.split, voice)
    document = evaluation_document(evaluation, request.options, _about(request, engine, seconds))
    if sent is not None:
        document["submission"] = str(sent)
        voice.note(f"to send: {sent}")
    _hand_over(document, request, voice)
    return 0


class _Timed:
    """An answer that knows how many points it labelled, and in how many seconds."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.seconds = 0.0
        self.points = 0

    def __call__(self, scene: PosedScene, cloud: PointCloud) -> ClassIndex:
        began = time.perf_counter()
        try:
            found = self._answer(scene, cloud)
        except Clip3DError as refusal:
            raise placed(refusal, scene.sweeps[0].path) from refusal
        self.seconds += time.perf_counter() - began
        self.points += len(cloud)
        return found


def _about(request: EvalRequest, engine: Engine, seconds: dict[str, float]) -> About:
    return About(
        dataset=request.dataset.name,
        root=request.dataset.root,
        split=request.split,
        words=request.words,
        templates=request.choice.templates,
        text_encoder=engine.text_encoder,
        head=request.choice.head,
        weights=engine.weights,
        sha256=engine.sha256,
        device=engine.device,
        backend=engine.backend,
        precision=engine.precision,
        seconds=seconds,
    )


def _hand_over(document: dict[str, Any], request: EvalRequest, voice: Voice) -> None:
    """Write the document where it was asked for."""
    if request.output is not None:
        write_document(document, request.output)
        voice.note(f"written: {request.output}")
    if request.as_json:
        give_json(document)

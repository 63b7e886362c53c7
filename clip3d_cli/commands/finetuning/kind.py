"""What ``clip3d finetune`` trains."""

from __future__ import annotations

from clip3d_cli.commands.finetuning.show import ending, show_end
from clip3d_cli.commands.training.kind import Training
from clip3d_cli.pipelines.finetune import Finetuned, finetune, open_scenes
from clip3d_cli.pipelines.finetune_config import FREE, FinetuneConfig, preset

FINETUNING: Training[FinetuneConfig, Finetuned] = Training(
    command="finetune",
    usual=FinetuneConfig(),
    preset=preset,
    free=FREE,
    open_scenes=open_scenes,
    train=finetune,
    show_end=show_end,
    ending=ending,
)

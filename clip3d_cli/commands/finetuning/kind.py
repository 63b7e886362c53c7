"""What ``clip3d finetune`` trains."""

from __future__ import annotations

from clip3d_cli.commands.finetuning.show import ending, show_end
from clip3d_cli.commands.training.kind import Training
from clip3d_cli.pipelines.finetune.config import FREE, FinetuneConfig, preset
from clip3d_cli.pipelines.finetune.run import Finetuned, finetune, open_scenes

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

"""What ``clip3d pretrain`` trains."""

from __future__ import annotations

from clip3d_cli.commands.pretraining.show import ending, show_end
from clip3d_cli.commands.training.kind import Training
from clip3d_cli.pipelines.pretrain.config import FREE, PretrainConfig, preset
from clip3d_cli.pipelines.pretrain.run import Pretrained, open_scenes, pretrain

PRETRAINING: Training[PretrainConfig, Pretrained] = Training(
    command="pretrain",
    usual=PretrainConfig(),
    preset=preset,
    free=FREE,
    open_scenes=open_scenes,
    train=pretrain,
    show_end=show_end,
    ending=ending,
)

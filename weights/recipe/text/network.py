"""Network of the mini text encoder in PyTorch, for training; clip3d computes the same in numpy."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from clip3d_cli.text.bpe import CONTEXT_LENGTH, TOKEN_COUNT
from clip3d_cli.text.mini.network import MiniConfig


class MiniTextNetwork(nn.Module):
    """The same network as `clip3d_cli.text.mini.network.MiniTextNetwork`."""

    mean: torch.Tensor

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.config = config
        self.token = nn.Embedding(TOKEN_COUNT, config.token_width)
        self.widen = nn.Linear(config.token_width, config.width)
        self.position = nn.Embedding(CONTEXT_LENGTH, config.width)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.attend = nn.Linear(config.width, config.heads)
        self.project = nn.Linear(config.width * config.heads, config.dim, bias=False)
        self.register_buffer("mean", torch.zeros(config.dim))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return vectors minus the mean of the space, (P, D), for tokens (P, L) int64."""
        states = self.widen(self.token(tokens)) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            states = block(states)
        states = self.norm(states)
        attention = self.attend(states).softmax(dim=1)
        pooled = torch.einsum("plh,plc->phc", attention, states).flatten(1)
        out: torch.Tensor = self.project(pooled)
        return out


class _Block(nn.Module):
    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self._heads = config.heads
        self.norm1 = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.mix = nn.Linear(config.width, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, config.hidden)
        self.contract = nn.Linear(config.hidden, config.width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        prompts, length, width = states.shape
        qkv = self.qkv(self.norm1(states)).view(prompts, length, 3, self._heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        states = states + self.mix(mixed.transpose(1, 2).reshape(prompts, length, width))
        hidden = functional.gelu(self.expand(self.norm2(states)))
        out: torch.Tensor = states + self.contract(hidden)
        return out

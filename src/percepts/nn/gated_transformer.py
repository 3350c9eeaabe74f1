"""A gated Transformer-XL (Parisotto et al. 2020), for streams of episodes: it remembers the last M steps of this one.

    stack = GatedTransformer(width=128, heads=4, layers=3, memory=200)
    memory = stack.initial(batch=32)
    outputs, memory = stack(inputs, memory, first)      # [T, B, 128]; first [T, B] where an episode begins

A block is y = g(x, relu(attention(norm(x)))), z = g(y, relu(mlp(norm(y)))): normalisation before the parts, so that the
way past them is the identity, and a gate g like that of a GRU, whose bias makes it stay close to that at first
(equations from memory, unverified). Attention is that of Transformer-XL (Dai et al. 2019): to the steps before, by
content and distance, and into the stored inputs of every layer, through which no gradient goes. A step sees itself and
at most the M steps before it of its own episode, whether steps come one by one or many at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Remembered:
    """The last M steps of B streams.

    Attributes:
        inputs: of every layer.
        valid: which of the steps belong to the episode that goes on.
    """

    inputs: Float[Tensor, "batch layers memory width"]
    valid: Bool[Tensor, "batch memory"]


class GatedTransformer(nn.Module):
    """Blocks one after another.

    Args:
        width: of inputs and outputs; a multiple of `heads`, and even.
        heads: of the attention.
        layers: blocks.
        memory: M.
        hidden: width of the hidden layer; twice `width` if None.
        gate_bias: of the gates; at 2 they start close to the identity.
    """

    def __init__(
        self, width: int, heads: int, layers: int, memory: int, hidden: int | None = None, gate_bias: float = 2.0
    ) -> None:
        super().__init__()
        self.width, self.memory = width, memory
        self.blocks = nn.ModuleList(GatedBlock(width, heads, hidden or 2 * width, gate_bias) for _ in range(layers))

    def initial(self, batch: int, device: torch.device | str = "cpu") -> Remembered:
        """Nothing is remembered."""
        inputs = torch.zeros(batch, len(self.blocks), self.memory, self.width, device=device)
        return Remembered(inputs, torch.zeros(batch, self.memory, dtype=torch.bool, device=device))

    def forward(
        self, inputs: Float[Tensor, "steps batch width"], remembered: Remembered, first: Bool[Tensor, "steps batch"]
    ) -> tuple[Float[Tensor, "steps batch width"], Remembered]:
        """Outputs of every step, and what is remembered after the last."""
        steps, episode = len(inputs), first.long().cumsum(0)
        distance, seen = self._seen(episode, remembered.valid)
        embedding = sinusoids(self.memory + 1, self.width).to(inputs)
        kept, hidden = [], inputs
        for number, block in enumerate(self.blocks):
            before = remembered.inputs[:, number].transpose(0, 1)
            context = torch.cat([before, hidden])
            kept.append(context[steps:].detach().transpose(0, 1))
            hidden = block(hidden, context, embedding, distance, seen)
        goes_on = torch.cat([remembered.valid & (episode[-1] == 0)[:, None], (episode == episode[-1]).T], 1)
        return hidden, Remembered(torch.stack(kept, 1), goes_on[:, steps:])

    def _seen(
        self, episode: Tensor, valid: Bool[Tensor, "batch memory"]
    ) -> tuple[Tensor, Bool[Tensor, "batch steps context"]]:
        """How far back every step of the context is from every step, and whether it is seen."""
        steps, device = len(episode), episode.device
        distance = (
            torch.arange(steps, device=device)[:, None]
            + self.memory
            - torch.arange(self.memory + steps, device=device)
        )  # fmt: skip
        numbers = torch.cat([torch.where(valid, 0, -1), episode.T], 1)
        same = numbers[:, None] == episode.T[..., None]
        return distance.clamp(0, self.memory), same & (distance >= 0) & (distance <= self.memory)


class GatedBlock(nn.Module):
    """Attention and a multilayer perceptron, each behind a gate.

    Args:
        width, heads, hidden, gate_bias: see `GatedTransformer`.
    """

    def __init__(self, width: int, heads: int, hidden: int, gate_bias: float) -> None:
        super().__init__()
        self.attention = RelativeAttention(width, heads)
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.gate_attention, self.gate_mlp = Gate(width, gate_bias), Gate(width, gate_bias)

    def forward(
        self,
        inputs: Float[Tensor, "steps batch width"],
        context: Float[Tensor, "context batch width"],
        embedding: Float[Tensor, "distances width"],
        distance: Tensor,
        seen: Bool[Tensor, "batch steps context"],
    ) -> Float[Tensor, "steps batch width"]:
        """The block's outputs."""
        normed = self.norm_attention(context)
        attended = self.attention(normed[-len(inputs) :], normed, embedding, distance, seen)
        middle = self.gate_attention(inputs, attended.relu())
        return self.gate_mlp(middle, self.mlp(self.norm_mlp(middle)).relu())


class RelativeAttention(nn.Module):
    """Attention by content and distance: (q + u) · k + (q + v) · r (Dai et al. 2019, section 3.3).

    Args:
        width, heads: see `GatedTransformer`.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key_value = nn.Linear(width, width, bias=False), nn.Linear(width, 2 * width, bias=False)
        self.position, self.output = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, self.size))
        self.position_bias = nn.Parameter(torch.zeros(heads, self.size))

    def forward(
        self,
        inputs: Float[Tensor, "steps batch width"],
        context: Float[Tensor, "context batch width"],
        embedding: Float[Tensor, "distances width"],
        distance: Tensor,
        seen: Bool[Tensor, "batch steps context"],
    ) -> Float[Tensor, "steps batch width"]:
        """What every step gathers from the context.

        Args:
            inputs: of the steps.
            context: of all that may be seen.
            embedding: of distances.
            distance: from every step to every one of the context [steps, context].
            seen: which of them are seen; every step sees at least one.
        """
        query = self.query(inputs).unflatten(-1, (self.heads, self.size))
        key, value = self.key_value(context).unflatten(-1, (2, self.heads, self.size)).unbind(-3)
        positions = self.position(embedding).unflatten(-1, (self.heads, self.size))
        content = torch.einsum("tbhd,cbhd->bhtc", query + self.content_bias, key)
        by_distance = torch.einsum("tbhd,nhd->bhtn", query + self.position_bias, positions)
        scores = content + by_distance.gather(3, distance.expand(*content.shape))
        scores = (scores / math.sqrt(self.size)).masked_fill(~seen[:, None], -math.inf)
        gathered = torch.einsum("bhtc,cbhd->tbhd", scores.softmax(-1), value)
        return self.output(gathered.flatten(-2))


class Gate(nn.Module):
    """A GRU's: r = σ(W_r y + U_r x), z = σ(W_z y + U_z x - b), h = tanh(W y + U (r x)), (1 - z) x + z h.

    Args:
        width: of x and y.
        bias: b.
    """

    def __init__(self, width: int, bias: float) -> None:
        super().__init__()
        self.from_new = nn.Linear(width, 3 * width, bias=False)
        self.from_old = nn.Linear(width, 2 * width, bias=False)
        self.from_reset = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.full((width,), bias))

    def forward(
        self, old: Float[Tensor, "*batch width"], new: Float[Tensor, "*batch width"]
    ) -> Float[Tensor, "*batch width"]:
        """Between `old`, x, and what is made of `new`, y."""
        reset_new, update_new, candidate_new = self.from_new(new).chunk(3, -1)
        reset_old, update_old = self.from_old(old).chunk(2, -1)
        reset, update = (reset_new + reset_old).sigmoid(), (update_new + update_old - self.bias).sigmoid()
        candidate = (candidate_new + self.from_reset(reset * old)).tanh()
        return torch.lerp(old, candidate, update)


def sinusoids(count: int, width: int) -> Float[Tensor, "count width"]:
    """Sines and cosines of the numbers 0, 1, … at geometrically falling frequencies (Vaswani et al. 2017), the sines
    first; `width` is even."""
    angles = torch.arange(count)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.cat([angles.sin(), angles.cos()], 1)

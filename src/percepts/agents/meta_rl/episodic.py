"""The episodic planning network (Ritter et al. 2021) as BKHMSI's alchemist has it for Alchemy: a memory of what every
action did, over which attention runs, and an LSTM.

Every row of the memory is joined with what is seen now, embedded, given its position, and attends to all other rows;
the maximum over the rows goes on, with an encoding of the step's other inputs, to an LSTM.

What differs from that implementation: rows that hold nothing are left out altogether instead of being zero, so layer
normalisation runs over the numbers of a row and not over the whole memory; and the memory holds 200 rows, an episode of
20 steps a trial, and not 150.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import elu

from percepts.agents.meta_rl.cores import Core, State, run_lstm
from percepts.core.config import Config as BaseConfig
from percepts.core.config import Configurable
from percepts.core.errors import ConfigError
from percepts.nn.gated_transformer import sinusoids


class EpisodicPlanning(Core, Configurable):
    """The core.

    Args:
        sizes: of the inputs' parts, "row" being the last of them; see `senses.Senses.Config.row`.

    Raises:
        ConfigError: inputs without rows.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BaseConfig):
        """Settings (those of BKHMSI/alchemist, but for the number of rows).

        Attributes:
            width: of embedded rows.
            heads: of the attention.
            rows: that are kept, the newest ones.
            encoder: width of the two layers that encode what is seen now.
            recurrent: width of the LSTM.
        """

        width: int = 64
        heads: int = 4
        rows: int = 200
        encoder: int = 32
        recurrent: int = 256

        def __post_init__(self) -> None:
            for name in ("width", "heads", "rows", "encoder", "recurrent"):
                if getattr(self, name) < 1:
                    raise ConfigError(f"{name} = {getattr(self, name)}", "1 or more")
            if self.width % self.heads or self.width % 2:
                raise ConfigError(f"width = {self.width} of {self.heads} heads", "an even multiple of the heads")

    config: Config

    def __init__(self, config: Config, sizes: dict[str, int]) -> None:
        super().__init__()
        if "row" not in sizes:
            raise ConfigError("an episodic planning network that sees no rows", fix="senses.row=True")
        self.config, self.features = config, config.recurrent
        self.row, self.seen = sizes["row"], sizes["observation"]
        rest = sum(sizes.values()) - self.row
        width = config.width
        self.embed = nn.Linear(self.row - 1 + self.seen, width)
        self.norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ELU(), nn.Linear(width, width), nn.ELU())
        self.encode = nn.Sequential(
            nn.Linear(self.seen, config.encoder), nn.ELU(), nn.Linear(config.encoder, config.encoder), nn.ELU()
        )
        self.recurrence = nn.LSTM(width + config.encoder + rest - self.seen, config.recurrent)

    def initial(self, batch: int, device: torch.device | str = "cpu") -> State:
        """No rows, and zeros."""
        zero = torch.zeros(batch, self.config.recurrent, device=device)
        rows = torch.zeros(batch, self.config.rows, self.row, device=device)
        return {"hidden": zero, "cell": zero.clone(), "rows": rows}

    def forward(self, inputs: Tensor, state: State, first: Tensor) -> tuple[Tensor, State]:
        """See `Core.forward`."""
        steps = len(inputs)
        rest, row = inputs[..., : -self.row], inputs[..., -self.row :]
        observation = rest[..., : self.seen]
        rows = torch.cat([state["rows"], row.transpose(0, 1)], 1)
        episode = first.long().cumsum(0)
        of_rows = torch.cat([torch.zeros_like(rows[:, : self.config.rows, 0], dtype=torch.int64), episode.T], 1)
        there = rows[..., -1] > 0
        time = torch.arange(rows.shape[1], device=rows.device) - self.config.rows
        age = torch.arange(steps, device=rows.device)[:, None] - time
        valid = (of_rows[:, None] == episode.T[..., None]) & there[:, None] & (age >= 0) & (age < self.config.rows)
        planned = self._plan(observation, rows[..., :-1], valid.transpose(0, 1))
        encoded = self.encode(observation)
        joined = torch.cat([planned, encoded, rest[..., self.seen :]], -1)
        features, recurrent = run_lstm(self.recurrence, joined, state, first)
        goes_on = (of_rows == episode[-1][:, None]) & there
        kept = rows * goes_on[..., None]
        return features, {**recurrent, "rows": kept[:, -self.config.rows :].detach()}

    def _plan(
        self,
        observation: Float[Tensor, "steps batch numbers"],
        rows: Float[Tensor, "batch rows width"],
        valid: Bool[Tensor, "steps batch rows"],
    ) -> Float[Tensor, "steps batch features"]:
        """What the memory says of what is seen; 0 where it is empty."""
        used = valid.any(0).any(0).nonzero()[:, 0]
        if not len(used):
            return observation.new_zeros(*observation.shape[:2], self.config.width)
        # Most rows of most memories are empty for most of an episode.
        rows, valid = rows[:, used], valid[..., used]
        seen = observation[:, :, None].expand(-1, -1, rows.shape[1], -1)
        embedded = self.embed(torch.cat([rows.expand(len(observation), *rows.shape), seen], -1))
        place = (valid.long().cumsum(-1) - 1).clamp(min=0)
        embedded = self.norm(embedded + sinusoids(rows.shape[1], self.config.width).to(embedded)[place])
        embedded = elu(embedded + self._attend(embedded, valid))
        planned = self.layers(embedded).masked_fill(~valid[..., None], -math.inf).amax(-2)
        return torch.where(valid.any(-1, keepdim=True), planned, 0.0)

    def _attend(self, embedded: Tensor, valid: Tensor) -> Tensor:
        parts = self.attention(embedded).relu().unflatten(-1, (3, self.config.heads, -1))
        query, key, value = (part.transpose(-2, -3) for part in parts.unbind(-3))
        # Rows that are not valid see themselves, so that no softmax is over nothing; nobody looks at them.
        itself = torch.eye(valid.shape[-1], dtype=torch.bool, device=valid.device)
        mask = (valid[..., None, :] | itself)[..., None, :, :]
        found = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.output(found.transpose(-2, -3).flatten(-2)).relu()

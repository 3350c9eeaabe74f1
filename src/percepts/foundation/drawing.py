"""Drawing answers from a causal language model, token by token, from given random numbers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from percepts.foundation.model import clean


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; see `draw`."""

    temperature: float
    top_k: int | None
    top_p: float | None


class Drawing:
    """Draws answers token by token."""

    def __init__(self, model: Any, tokenizer: Any, sampling: Sampling, stop: Sequence[str]) -> None:
        self.model, self.tokenizer, self.sampling, self.stop = model, tokenizer, sampling, stop
        ends = model.generation_config.eos_token_id
        self.ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])} - {None}
        known = inspect.signature(model.forward).parameters
        self._options: dict[str, Any] = {
            "use_cache": True,
            **({"logits_to_keep": 1} if "logits_to_keep" in known else {}),
        }
        # What transformers calls the keys and values of earlier tokens changed in 5.24.
        self._cache = "cache" if "cache" in known else "past_key_values"

    def text(self, tokens: Sequence[int]) -> str:
        """The tokens as text, without special ones."""
        return clean(self.tokenizer.decode(tokens, skip_special_tokens=True))

    @torch.no_grad()
    def run(
        self,
        ids: Int64[Tensor, "batch length"],
        mask: Int64[Tensor, "batch length"],
        uniform: Float64[Tensor, "batch limit"],
    ) -> tuple[list[list[int]], list[list[float]]]:
        """The tokens of each answer and their log-probabilities (nats, of the model itself: temperature 1)."""
        rows: list[list[int]] = [[] for _ in ids]
        values: list[list[float]] = [[] for _ in ids]
        running, cache, positions = set(range(len(rows))), None, (mask.cumsum(dim=1) - 1).clamp(min=0)
        for step in range(uniform.shape[1]):
            result = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                **{self._cache: cache},
                **self._options,
            )
            cache, scores = getattr(result, self._cache), result.logits[:, -1].float().log_softmax(dim=-1)
            chosen = draw(scores, uniform[:, step], self.sampling.temperature, self.sampling.top_k, self.sampling.top_p)
            found = scores.gather(1, chosen[:, None])[:, 0].tolist()
            for row, token in enumerate(chosen.tolist()):
                if row in running:
                    rows[row].append(token)
                    values[row].append(found[row])
            running = {row for row in running if not self._ended(rows[row])}
            if not running:
                break
            ids, positions = chosen[:, None], positions[:, -1:] + 1
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        return rows, values

    def _ended(self, row: list[int]) -> bool:
        if row[-1] in self.ends:
            return True
        if not self.stop:
            return False
        # A stop text of n characters ends within the last n tokens, or began before them.
        tail = self.text(row[-(max(map(len, self.stop)) + 1) :])
        return any(one in tail for one in self.stop)


def draw(
    scores: Float32[Tensor, "batch vocabulary"],
    uniform: Float64[Tensor, " batch"],
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Int64[Tensor, " batch"]:
    """A token for each row of log-probabilities: the most probable one at temperature 0, otherwise that where the
    distribution function passes the `uniform` number in [0, 1).

    Args:
        top_k: only so many most probable tokens.
        top_p: only the most probable tokens until they make up so much; at least one.
    """
    if temperature == 0:
        return scores.argmax(dim=-1)
    # The largest first becomes 0, so that no temperature, however low, divides all of them out of the numbers.
    relative = scores.double() - scores.double().max(dim=-1, keepdim=True).values
    probability, order = (relative / temperature).softmax(dim=-1).sort(dim=-1, descending=True)
    if top_k is not None:
        probability[:, top_k:] = 0
    if top_p is not None:
        # A token stays while those before it make up less than top_p.
        total = probability.sum(dim=-1, keepdim=True)
        probability[probability.cumsum(dim=-1) - probability >= top_p * total] = 0
    sums = probability.cumsum(dim=-1)
    place = torch.searchsorted(sums, (uniform[:, None] * sums[:, -1:]).contiguous(), right=True)
    last = (probability > 0).sum(dim=-1, keepdim=True) - 1
    return order.gather(1, torch.minimum(place, last))[:, 0]

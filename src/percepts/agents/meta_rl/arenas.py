"""B tables that a network plays at, step after step, and what there is to tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from percepts.agents.alchemy.playing import EARLY, LATE
from percepts.agents.meta_rl.acting import drawn
from percepts.agents.meta_rl.network import ActorCritic
from percepts.agents.meta_rl.predictions import Predictions
from percepts.agents.meta_rl.rollouts import Rollout
from percepts.agents.meta_rl.senses import Senses, view_of
from percepts.agents.meta_rl.shaping import Shaping
from percepts.agents.snapshots import tensors_of, with_tensors_of
from percepts.core.random import derive_seed
from percepts.envs.alchemy.table import Outcome, Table, TableState


class Arenas:
    """Tables, minds and networks' states of B learners.

    Args:
        table: the rules.
        senses: what is seen.
        network: whose state is kept.
        count: B.
        seed: of the tables.
    """

    def __init__(self, table: Table, senses: Senses, network: ActorCritic, count: int, seed: int) -> None:
        self.table, self.senses = table, senses
        self.state = table.reset([derive_seed(seed, "arena", n) % 2**32 for n in range(count)], senses.device)
        self.mind = senses.begin(view_of(self.state))
        self.core = network.initial(count, senses.device)
        self.tally = Tally(table.config.trials, senses.device)

    @torch.no_grad()
    def collect(
        self,
        network: ActorCritic,
        steps: int,
        generator: torch.Generator,
        predictions: Predictions,
        shaping: Shaping | None,
        scale: float,
    ) -> Rollout:
        """Play on.

        Args:
            network: that chooses.
            steps: of every table.
            generator: of the choices.
            predictions: what targets are noted.
            shaping: of the rewards that are learned from.
            scale: by which they are multiplied.
        """
        lists: dict[str, list[Tensor]] = {name: [] for name in _PARTS}
        targets: dict[str, list[Tensor]] = {name: [] for name in predictions.sizes}
        began = self.core
        for _ in range(steps):
            mind, truth, before = self.mind, self.state.chemistry, self.state
            seen = self._look(lists)
            found, self.core = network(*(part[None] if isinstance(part, Tensor) else part for part in seen))
            unit = torch.rand(found.log_probs.shape[1:], generator=generator, device=generator.device)
            action = drawn(found.log_probs[0], unit)
            for name, target in predictions.targets(mind.view, truth).items():
                targets[name].append(target)
            slot = self.senses.slots(mind, action, truth)
            outcome = self._step(action, slot)
            reward = outcome.reward
            if shaping is not None:
                reward = reward + shaping.of(outcome, action, mind.action, mind.step, int(self.table.config.end_trial))
            lists["value"].append(found.value[0])
            lists["action"].append(action)
            lists["log_prob"].append(found.log_prob_of(action[None])[0])
            lists["reward"].append(reward * scale)
            lists["last"].append(outcome.terminated)
            self.tally.note(before, outcome, self.table.config.rewards.potion)
        seen = self._look(lists)
        found, _ = network(*(part[None] if isinstance(part, Tensor) else part for part in seen))
        lists["value"].append(found.value[0])
        stacked: dict[str, Any] = {name: torch.stack(parts) for name, parts in lists.items()}
        return Rollout(**stacked, state=began, targets={name: torch.stack(parts) for name, parts in targets.items()})

    def _look(self, lists: dict[str, list[Tensor]]) -> tuple[Tensor, Any, Tensor, Tensor]:
        truth = self.state.chemistry
        inputs, legal = self.senses.inputs(self.mind, truth), self.senses.legal(self.mind, truth)
        first = self.mind.action < 0
        for name, part in (("inputs", inputs), ("first", first), ("legal", legal)):
            lists[name].append(part)
        return inputs, self.core, first, legal

    def _step(self, action: Tensor, slot: Tensor) -> Outcome:
        after, outcome = self.table.step(self.state, slot)
        over = outcome.terminated
        some = bool(over.any())
        self.state = self.table.restart(after, over) if some else after
        view = view_of(self.state)
        if some and bool(over.all()):
            self.mind = self.senses.begin(view)
            return outcome
        mind = self.senses.follow(self.mind, action, slot, view)
        self.mind = mind.put(over, self.senses.begin(view).rows(over)) if some else mind
        return outcome

    def state_dict(self) -> dict[str, Any]:
        """Everything that goes on."""
        return {
            "state": tensors_of(self.state), "mind": tensors_of(self.mind), "core": dict(self.core),
            "tally": self.tally.sums,
        }  # fmt: skip

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.state = with_tensors_of(self.state, saved["state"])
        self.mind = with_tensors_of(self.mind, saved["mind"])
        self.core = {name: saved["core"][name].to(part.device) for name, part in self.core.items()}
        self.tally.sums = {name: part.to(self.senses.device) for name, part in saved["tally"].items()}


_PARTS = ("inputs", "first", "legal", "value", "action", "log_prob", "reward", "last")


class Tally:
    """How it went since the last entry of the log, by number of the trial.

    Args:
        trials: of an episode.
        device: of the tables.
    """

    def __init__(self, trials: int, device: torch.device) -> None:
        self.trials, self.device = trials, device
        self.sums = self._zeros()

    def note(self, before: TableState, outcome: Outcome, potion: float) -> None:
        """Add a step; what potions pay is no score."""
        used = outcome.potion >= 0
        parts = {
            "score": outcome.reward - potion * used,
            "potions": used,
            "no_effect": used & (outcome.before == outcome.after),
            "banked": outcome.banked,
            "ended": outcome.new_trial,
        }
        for name, part in parts.items():
            self.sums[name].index_add_(0, before.trial, part.double())

    def entry(self) -> dict[str, Any]:
        """What there is to log, and begin anew. Trials of which none ended are told as None, and the score is that of
        an episode in which they are as good as the others."""
        sums, self.sums = self.sums, self._zeros()
        ended = sums["ended"]
        per_trial = sums["score"] / ended
        potions, known = float(sums["potions"].sum()), per_trial[ended > 0]
        adaptation = float(per_trial[-LATE:].mean() - per_trial[:EARLY].mean())
        return {
            "score": float(known.mean()) * self.trials if len(known) else None,
            "per_trial": [value if number > 0 else None for value, number in zip(per_trial.tolist(), ended.tolist())],
            "adaptation": adaptation if bool((ended > 0).all()) else None,
            "potions_used": potions / max(1.0, float(ended.sum())),
            "no_effect_rate": float(sums["no_effect"].sum()) / max(1.0, potions),
            "stones_banked": float(sums["banked"].sum()) / max(1.0, float(ended.sum())),
        }

    def _zeros(self) -> dict[str, Tensor]:
        names = ("score", "potions", "no_effect", "banked", "ended")
        return {name: torch.zeros(self.trials, dtype=torch.float64, device=self.device) for name in names}

"""What a learner of stable-baselines3 goes on from, as tensors and plain values, and random numbers of its own.

stable-baselines3 saves pickles, and draws from the global streams of NumPy and torch. Neither is done here: a pickle
can run code, and the streams belong to the caller.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from percepts.core.errors import CheckpointError

KEPT = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")
"""The arrays of a replay."""


class OwnRandom:
    """Global random streams that are one's own inside of a `with` block; the caller's are untouched by it.

    Args:
        device: whose stream is one of them, if it is no CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._own: dict[str, Any] | None = None
        self._others: tuple[Any, ...] = ()

    def __enter__(self) -> None:
        cudnn = torch.backends.cudnn
        self._others = (self._streams(), random.getstate(), cudnn.deterministic, cudnn.benchmark)
        if self._own is not None:
            self._install(self._own)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._own = self._streams()
        streams, plain, deterministic, benchmark = self._others
        self._install(streams)
        random.setstate(plain)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = deterministic, benchmark

    def state_dict(self) -> dict[str, Any]:
        """Where the streams are: tensors and plain values; nothing before the first block."""
        return dict(self._own or {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._own = dict(state) or None

    def _streams(self) -> dict[str, Any]:
        numpy: Any = np.random.get_state(legacy=False)
        found = {
            "torch": torch.get_rng_state(),
            "key": torch.from_numpy(numpy["state"]["key"].astype(np.int64)),
            "position": int(numpy["state"]["pos"]),
            "has_normal": int(numpy["has_gauss"]),
            "normal": float(numpy["gauss"]),
        }
        if self.device.type == "cuda":
            found["device"] = torch.cuda.get_rng_state(self.device)
        return found

    def _install(self, streams: Mapping[str, Any]) -> None:
        torch.set_rng_state(streams["torch"])
        key = streams["key"].numpy().astype(np.uint32)
        numpy = ("MT19937", key, streams["position"], streams["has_normal"], streams["normal"])
        np.random.set_state(numpy)
        if "device" in streams:
            torch.cuda.set_rng_state(streams["device"], self.device)


def learner_state(learner: Any) -> dict[str, Any]:
    """What SAC or PPO goes on from between two rounds, beside the weights of its policy.

    Args:
        learner: a `stable_baselines3.SAC` or `PPO`.
    """
    optimizers = {name: state for name, state in learner.get_parameters().items() if name != "policy"}
    state: dict[str, Any] = {
        "optimizers": optimizers,
        "steps": learner.num_timesteps,
        "updates": learner._n_updates,
        "episodes": learner._episode_num,
        "action_stream": learner.action_space.np_random.bit_generator.state,
        "last": _tensor(learner._last_obs),
        "starts": _tensor(learner._last_episode_starts),
        "temperature": None,
        "replay": None,
    }
    if getattr(learner, "log_ent_coef", None) is not None:
        state["temperature"] = learner.log_ent_coef.detach().cpu().clone()
    replay = getattr(learner, "replay_buffer", None)
    if replay is not None:
        size = replay.size()
        state["replay"] = {name: _tensor(getattr(replay, name)[:size]) for name in KEPT}
        state["replay"] |= {"position": replay.pos, "full": replay.full}
    return state


def load_learner_state(learner: Any, state: Mapping[str, Any]) -> None:
    """Become the learner that `learner_state` described; the policy's weights are loaded already.

    Raises:
        CheckpointError: it was of another kind or size.
    """
    try:
        _load_optimizers(learner, state["optimizers"])
        learner.num_timesteps, learner._n_updates = int(state["steps"]), int(state["updates"])
        learner._episode_num = int(state["episodes"])
        learner.action_space.np_random.bit_generator.state = state["action_stream"]
        learner._last_obs, learner._last_episode_starts = _array(state["last"]), _array(state["starts"])
        if state["temperature"] is not None:
            with torch.no_grad():
                learner.log_ent_coef.copy_(state["temperature"])
        if state["replay"] is not None:
            replay, size = learner.replay_buffer, len(state["replay"]["rewards"])
            for name in KEPT:
                getattr(replay, name)[:size] = state["replay"][name].numpy()
            replay.pos, replay.full = int(state["replay"]["position"]), bool(state["replay"]["full"])
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"the state of another learner than this {type(learner).__name__} ({reason})", "that of the same one"
        ) from error


def copied_policy(policy: Any) -> Any:
    """A policy of stable-baselines3 with the same weights, made anew: one that has acted holds graphs, which Python
    cannot copy."""
    with torch.random.fork_rng(devices=[]):
        fresh = type(policy)(**policy._get_constructor_parameters())
    fresh.load_state_dict(policy.state_dict())
    return fresh.to(policy.device)


def _load_optimizers(learner: Any, optimizers: Mapping[str, Any]) -> None:
    """Moments as copies, which lie in memory as fresh tensors do, so that kernels add up in the same order."""
    copies = {
        name: {
            "state": {
                number: {key: value.clone() if isinstance(value, Tensor) else value for key, value in moments.items()}
                for number, moments in whole["state"].items()
            },
            "param_groups": whole["param_groups"],
        }
        for name, whole in optimizers.items()
    }
    learner.set_parameters(copies | {"policy": learner.policy.state_dict()}, exact_match=True)


def _tensor(array: Any) -> Tensor | None:
    return None if array is None else torch.from_numpy(np.array(array))


def _array(tensor: Tensor | None) -> Any:
    return None if tensor is None else tensor.numpy().copy()

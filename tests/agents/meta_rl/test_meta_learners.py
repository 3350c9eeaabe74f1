"""Learners' formulas beside plain sums in double precision, and that they learn what is easy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from percepts.agents.meta_rl.a2c import AdvantageActorCritic
from percepts.agents.meta_rl.cores import LSTM, FeedForward
from percepts.agents.meta_rl.learner import Fading, Learner, falling
from percepts.agents.meta_rl.network import ActorCritic, ValueHead
from percepts.agents.meta_rl.ppo import ProximalPolicy, clipped_loss
from percepts.agents.meta_rl.predictions import Predictions
from percepts.agents.meta_rl.returns import generalised_advantages, n_step_returns, v_trace
from percepts.agents.meta_rl.rollouts import Rollout
from percepts.agents.meta_rl.v_mpo import VMPO, divergence, v_mpo_losses
from percepts.agents.meta_rl.v_trace import VTrace
from percepts.core.errors import ConfigError, NonFiniteError

STEPS, BATCH, DISCOUNT, TRACE = 7, 3, 0.9, 0.8
LEARNERS: dict[str, Any] = {
    "PPO": ProximalPolicy.Config(optimizer=falling(0.02), minibatches=2),
    "V-MPO": VMPO.Config(optimizer=falling(0.02), copy_every=2, policy_bound=0.1),
    "V-trace": VTrace.Config(optimizer=falling(0.02), minibatches=2),
    "A2C": AdvantageActorCritic.Config(optimizer=falling(0.02)),
}


def steps_of(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    last = torch.rand(STEPS, BATCH, generator=generator) < 0.2
    return {"reward": normal(STEPS, BATCH), "value": normal(STEPS, BATCH), "last": last, "beyond": normal(BATCH)}


def returns_from(steps: dict[str, Tensor], t: int, b: int, length: int) -> float:
    """r_t + γ r_{t+1} + … over `length` steps, then the value; cut where an episode ends."""
    total, weight = 0.0, 1.0
    for k in range(t, t + length):
        total += weight * float(steps["reward"][k, b])
        weight *= DISCOUNT
        if steps["last"][k, b]:
            return total
    end = t + length
    return total + weight * float(steps["value"][end, b] if end < STEPS else steps["beyond"][b])


def test_n_step_returns_end_with_episodes_only() -> None:
    steps = steps_of()
    found = n_step_returns(steps["reward"], steps["last"], steps["beyond"], DISCOUNT)
    for t, b in np.ndindex(STEPS, BATCH):
        assert float(found[t, b]) == pytest.approx(returns_from(steps, t, b, STEPS - t))


def test_generalised_advantages_are_a_mixture_of_returns() -> None:
    """(1 - λ) Σ λ^(n-1) G^(n) - V, with all the rest of the weight on the longest return."""
    steps = steps_of()
    found = generalised_advantages(**steps, discount=DISCOUNT, trace=TRACE)
    for t, b in np.ndindex(STEPS, BATCH):
        longest = STEPS - t
        mixture = sum((1 - TRACE) * TRACE ** (n - 1) * returns_from(steps, t, b, n) for n in range(1, longest))
        mixture += TRACE ** (longest - 1) * returns_from(steps, t, b, longest)
        assert float(found[t, b]) == pytest.approx(mixture - float(steps["value"][t, b]))


@pytest.mark.parametrize("most", [1.0, 0.7])
def test_v_trace_is_its_definition(most: float) -> None:
    """v_t = V_t + Σ γ^(k-t) (Π_{i<k} c_i) ρ_k δ_k (Espeholt et al. 2018, equation 1)."""
    steps = steps_of()
    log_ratio = torch.randn(STEPS, BATCH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = v_trace(log_ratio, **steps, discount=DISCOUNT, trace=TRACE, most=most)
    ratio = np.minimum(most, np.exp(log_ratio.numpy()))
    value = torch.cat([steps["value"], steps["beyond"][None]]).numpy()
    targets = value.copy()
    for t, b in np.ndindex(STEPS, BATCH):
        weight = 1.0
        for k in range(t, STEPS):
            goes_on = 0.0 if steps["last"][k, b] else 1.0
            error = float(steps["reward"][k, b]) + DISCOUNT * goes_on * value[k + 1, b] - value[k, b]
            targets[t, b] += weight * ratio[k, b] * error
            weight *= DISCOUNT * TRACE * ratio[k, b] * goes_on
    np.testing.assert_allclose(found.targets.numpy(), targets[:-1])
    for t, b in np.ndindex(STEPS, BATCH):
        goes_on = 0.0 if steps["last"][t, b] else 1.0
        target = float(steps["reward"][t, b]) + DISCOUNT * goes_on * targets[t + 1, b]
        assert float(found.advantages[t, b]) == pytest.approx(ratio[t, b] * (target - value[t, b]))


def test_on_policy_v_trace_gives_n_step_returns() -> None:
    steps = steps_of()
    found = v_trace(torch.zeros(STEPS, BATCH).double(), **steps, discount=DISCOUNT)
    expected = n_step_returns(steps["reward"], steps["last"], steps["beyond"], DISCOUNT)
    torch.testing.assert_close(found.targets, expected)


def test_the_clipped_surrogate() -> None:
    ratio, advantage = np.array([0.5, 0.5, 1.5, 1.5, 1.1]), np.array([2.0, -2.0, 2.0, -2.0, 3.0])
    expected = -np.mean([0.5 * 2, -0.8 * 2, 1.2 * 2, -1.5 * 2, 1.1 * 3])
    found = clipped_loss(torch.tensor(ratio).log(), torch.tensor(advantage), 0.2)
    assert float(found) == pytest.approx(expected)


def test_v_mpo_s_losses() -> None:
    generator = torch.Generator().manual_seed(0)
    log_prob, advantage, kl = (torch.randn(4, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    kl = kl.abs().requires_grad_()
    log_prob.requires_grad_()
    eta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    alpha = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    losses = v_mpo_losses(log_prob, advantage, kl, eta, alpha, temperature_bound=0.1, policy_bound=0.01)
    found = dataclasses.replace(losses, **{part: value.detach() for part, value in vars(losses).items()})
    chosen = sorted(range(8), key=lambda one: -float(advantage.flatten()[one]))[:4]
    weights = {one: math.exp(float(advantage.flatten()[one]) / 0.7) for one in chosen}
    total = sum(weights.values())
    log_probs = log_prob.detach().flatten().tolist()
    assert float(found.policy) == pytest.approx(-sum(weights[one] / total * log_probs[one] for one in chosen))
    assert float(found.temperature) == pytest.approx(0.7 * 0.1 + 0.7 * math.log(total / 4))
    mean = float(kl.detach().mean())
    assert float(found.divergence) == pytest.approx(2.0 * (0.01 - mean) + 2.0 * mean)
    assert float(found.mean_divergence) == pytest.approx(mean)
    (losses.policy + losses.temperature + losses.divergence).backward()
    assert alpha.grad is not None
    assert eta.grad is not None
    assert log_prob.grad is not None
    assert kl.grad is not None
    assert float(alpha.grad) == pytest.approx(0.01 - mean)
    assert torch.equal(log_prob.grad.flatten().nonzero()[:, 0], torch.tensor(sorted(chosen)))
    torch.testing.assert_close(kl.grad, torch.full_like(kl, 2.0 / 8))
    # d/dη (η ε + η log mean exp (A / η)) = ε + log mean exp (A / η) - Σ ψ A / η
    slope = (
        0.1 + math.log(total / 4) - sum(weights[one] / total * float(advantage.flatten()[one]) / 0.7 for one in chosen)
    )
    assert float(eta.grad) == pytest.approx(slope)


def test_divergence_is_over_legal_actions() -> None:
    legal = torch.tensor([True, True, False])
    before = torch.tensor([0.25, 0.75, 0.0]).log()
    after = torch.tensor([0.5, 0.5, 0.0]).log().requires_grad_()
    found = divergence(before, after, legal)
    assert float(found.detach()) == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    found.backward()
    assert after.grad is not None
    assert after.grad.isfinite().all()


def test_popart_keeps_values_and_follows_returns() -> None:
    head, features = ValueHead(3, step=0.5).double(), torch.randn(5, 3, dtype=torch.float64)
    with torch.no_grad():
        head.linear.weight.normal_()
    before = head.returns(head(features))
    returns = torch.tensor([3.0, 5.0, 7.0], dtype=torch.float64)
    head.follow(returns)
    torch.testing.assert_close(head.returns(head(features)), before)
    assert float(head.mean) == pytest.approx(2.5)
    assert float(head.square) == pytest.approx(0.5 + 0.5 * 83 / 3)
    torch.testing.assert_close(head.returns(head.normalise(returns)), returns)
    plain = ValueHead(3, step=None)
    plain.follow(returns.float())
    assert float(plain.mean) == 0.0
    assert torch.equal(plain.normalise(returns), returns)


def bandit(learner_of: Any, core: Any = None, popart: float | None = None) -> tuple[Learner, Callable[[], Rollout]]:
    """A learner, and rollouts of a game in which action 1 pays 1, action 0 nothing, and action 2 is not legal."""
    torch.manual_seed(0)
    network = ActorCritic.Config(core=core or FeedForward.Config(hidden=(8,)), popart=popart).build(
        sizes={"observation": 2}, actions=3, predicts={"features": 33}
    )
    learner = learner_of.build(network=network, predictions=Predictions(features=0.1), rollouts=40)
    generator = torch.Generator().manual_seed(0)

    def play() -> Rollout:
        inputs = torch.randn(5, 16, 2, generator=generator)
        first = torch.zeros(5, 16, dtype=torch.bool)
        legal = torch.tensor([True, True, False]).expand(5, 16, 3)
        state = network.initial(16)
        with torch.no_grad():
            found, _ = learner.acting(inputs, state, first, legal)
        unit = torch.rand(4, 16, generator=generator)
        action = (unit < found.log_probs[:-1, :, 1].exp()).long()
        return Rollout(
            inputs=inputs, first=first, legal=legal, value=found.value, action=action,
            log_prob=found.log_prob_of(torch.cat([action, action[-1:]]))[:-1], reward=action.float(),
            last=torch.zeros(4, 16, dtype=torch.bool), state=state, targets={"features": torch.ones(4, 16, 33)},
        )  # fmt: skip

    return learner, play


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("core", [FeedForward.Config(hidden=(8,)), LSTM.Config(embedding=8, width=8)])
def test_learners_find_the_better_action(name: str, core: Any) -> None:
    learner, play = bandit(LEARNERS[name], core, popart=0.1)
    generator = torch.Generator().manual_seed(0)
    began = float(play().reward.mean())
    terms = [learner.learn(play(), generator) for _ in range(40)]
    assert began < 0.7
    assert float(play().reward.mean()) > 0.9
    assert learner.progress == 1.0
    assert all(math.isfinite(value) for each in terms for value in each.values())
    prediction = learner.network(torch.zeros(1, 1, 2), learner.network.initial(1), torch.ones(1, 1, dtype=torch.bool),
                                 torch.ones(1, 1, 3, dtype=torch.bool))[0].predictions["features"]  # fmt: skip
    assert float(prediction.detach().mean()) > 0.2


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_goes_on_where_it_was(name: str) -> None:
    generator = torch.Generator()
    kept = bandit(LEARNERS[name])[1]
    rollouts = [kept() for _ in range(6)]
    whole, _ = bandit(LEARNERS[name])
    for number, rollout in enumerate(rollouts):
        whole.learn(rollout, generator.manual_seed(number))
        if number == 2:
            state, weights = whole.state_dict(), {key: part.clone() for key, part in whole.network.state_dict().items()}
            state = copied(state)
    again, _ = bandit(LEARNERS[name])
    again.network.load_state_dict(weights)
    again.load_state_dict(state)
    for number, rollout in enumerate(rollouts[3:], 3):
        again.learn(rollout, generator.manual_seed(number))
    for key, part in whole.network.state_dict().items():
        assert torch.equal(part, again.network.state_dict()[key]), key


def copied(value: Any) -> Any:
    """As a snapshot keeps it: with strings for keys."""
    if isinstance(value, dict):
        return {str(key): copied(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [copied(part) for part in value]
    return value.clone() if isinstance(value, Tensor) else value


def test_a_loss_that_is_no_number_is_refused() -> None:
    learner, play = bandit(LEARNERS["A2C"])
    rollout = play()
    rollout.reward[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="smaller learning rate"):
        learner.learn(rollout, torch.Generator())


def test_weights_fade_geometrically_and_bad_settings_are_refused() -> None:
    fading = Fading(start=0.1, end=0.001)
    assert [fading.at(share) for share in (0, 0.5, 1)] == pytest.approx([0.1, 0.01, 0.001])
    assert Fading(start=0.0, end=0.0).at(0.5) == 0.0
    with pytest.raises(ConfigError, match="two positive numbers"):
        Fading(start=0.0)
    for made, wrong in (
        (ProximalPolicy.Config, {"clip": 0.0}), (ProximalPolicy.Config, {"trace": 2.0}),
        (VMPO.Config, {"penalty": 0.0}), (VTrace.Config, {"most": -1.0}), (VMPO.Config, {"discount": 1}),
        (AdvantageActorCritic.Config, {"value": 0.0}), (ActorCritic.Config, {"popart": 2.0}),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            made(**wrong)

"""Cores: the same features whether steps come one by one or many at once, and nothing of an earlier episode."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from percepts.agents.meta_rl.cores import LSTM, Core, FeedForward, State
from percepts.agents.meta_rl.episodic import EpisodicPlanning
from percepts.agents.meta_rl.transformer import TransformerMemory
from percepts.core.errors import ConfigError

STEPS, BATCH = 11, 3
SIZES = {"observation": 5, "clock": 2, "row": 4}
CONFIGS = {
    "feed-forward": FeedForward.Config(hidden=(8, 6)),
    "LSTM": LSTM.Config(embedding=8, width=6),
    "transformer": TransformerMemory.Config(width=8, heads=2, layers=2, memory=4),
    "episodic": EpisodicPlanning.Config(width=8, heads=2, rows=6, encoder=4, recurrent=6),
}
WITH_MEMORY = [name for name in CONFIGS if name != "feed-forward"]


def core_of(name: str) -> Core:
    torch.manual_seed(0)
    return CONFIGS[name].build(sizes=SIZES).double()


def steps_of(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs, whose rows are there two times out of three, and where episodes begin."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(STEPS, BATCH, 11, generator=generator, dtype=torch.float64)
    inputs[..., -1] = (torch.rand(STEPS, BATCH, generator=generator) < 2 / 3).double()
    inputs[..., -4:-1] *= inputs[..., -1:]
    first = torch.zeros(STEPS, BATCH, dtype=torch.bool)
    first[0], first[4, 1], first[7, :2] = True, True, True
    return inputs, first


def initial(core: Core) -> State:
    return {name: part.double() if part.is_floating_point() else part for name, part in core.initial(BATCH).items()}


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("cut", [1, 5])
def test_many_steps_at_once_are_single_steps(name: str, cut: int) -> None:
    core, (inputs, first) = core_of(name), steps_of()
    whole, end = core(inputs, initial(core), first)
    assert whole.shape == (STEPS, BATCH, core.features)
    state, parts = initial(core), []
    for start in range(0, STEPS, cut):
        part, state = core(inputs[start : start + cut], state, first[start : start + cut])
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts), whole)
    assert state.keys() == end.keys()
    following, begins = steps_of(1)[0], torch.zeros(STEPS, BATCH, dtype=torch.bool)
    torch.testing.assert_close(core(following, state, begins)[0], core(following, end, begins)[0])


@torch.no_grad()
@pytest.mark.parametrize("name", CONFIGS)
def test_an_episode_knows_nothing_of_the_one_before(name: str) -> None:
    core, (inputs, first) = core_of(name), steps_of()
    other = inputs.clone()
    other[:4, 1] += 1.0
    state = {part: value + 1.0 if value.is_floating_point() else ~value for part, value in initial(core).items()}
    changed, _ = core(other, state, first)
    whole, _ = core(inputs, initial(core), first)
    torch.testing.assert_close(changed[4:, 1], whole[4:, 1])
    torch.testing.assert_close(changed[:, 0], whole[:, 0])


@torch.no_grad()
@pytest.mark.parametrize("name", WITH_MEMORY)
def test_what_was_seen_is_remembered_and_what_comes_is_not_known(name: str) -> None:
    core, (inputs, first) = core_of(name), steps_of()
    inputs[2, 2, -1] = 1.0
    other = inputs.clone()
    other[2, 2, :-1] += 1.0
    whole, changed = core(inputs, initial(core), first)[0], core(other, initial(core), first)[0]
    assert (whole[3, 2] - changed[3, 2]).abs().max() > 1e-6
    torch.testing.assert_close(whole[:2], changed[:2], rtol=0, atol=0)
    torch.testing.assert_close(whole[:, :2], changed[:, :2], rtol=0, atol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_parameter_learns(name: str) -> None:
    core, (inputs, first) = core_of(name), steps_of()
    core(inputs, initial(core), first)[0].square().sum().backward()
    for parameter, value in core.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
        assert value.grad.any(), parameter


@torch.no_grad()
def test_rows_that_are_not_there_do_not_count() -> None:
    core, (inputs, first) = core_of("episodic"), steps_of()
    other = inputs.clone()
    other[..., -4:-1] += torch.randn(STEPS, BATCH, 3, dtype=torch.float64) * (inputs[..., -1:] == 0)
    torch.testing.assert_close(core(other, initial(core), first)[0], core(inputs, initial(core), first)[0])


@torch.no_grad()
def test_an_empty_memory_plans_nothing() -> None:
    core = core_of("episodic")
    inputs, first = torch.zeros(2, BATCH, 11, dtype=torch.float64), torch.ones(2, BATCH, dtype=torch.bool)
    assert core(inputs, initial(core), first)[0].isfinite().all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"senses\.row=True"):
        EpisodicPlanning.Config().build(sizes={"observation": 21})
    for made in (TransformerMemory.Config, EpisodicPlanning.Config):
        with pytest.raises(ConfigError, match="multiple of the heads"):
            made(width=10, heads=4)
        with pytest.raises(ConfigError, match="1 or more"):
            made(heads=0)

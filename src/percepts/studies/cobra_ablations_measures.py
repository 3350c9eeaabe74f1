"""What COBRA's ablations measure of trained agents, without training anything: errors of the dynamics in scenes of
their own, agents with the truth in the place of what they learned, and other searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from percepts.agents.cobra.agent import CobraAgent
from percepts.agents.cobra.evaluate import evaluate, looking
from percepts.agents.cobra.exploration import RandomObject, Uniform
from percepts.agents.cobra.planning import (
    CrossEntropy,
    OneStepSearch,
    Planner,
    Proposal,
    RandomShooting,
    SearchAgent,
    Simulation,
    proposals_of,
)
from percepts.agents.cobra.presets import FEWER, MANY
from percepts.agents.cobra.probes import collect, measure
from percepts.agents.cobra.simulation import LearnedSimulation, TrueDynamics, TrueReward, TrueSimulation
from percepts.agents.cobra.slots import OracleFactors
from percepts.agents.cobra.transition_losses import TransitionLoss
from percepts.agents.cobra.world import World
from percepts.agents.spriteworld_policies import RandomPolicy, success_rate
from percepts.core.random import derive_seed
from percepts.core.runs import Run
from percepts.envs.spriteworld.configs import MODES, SpriteworldConfig, task_config
from percepts.studies.pipelines import shared_stages

SCENES = {"1 to 6": "exploration", "1 to 3": FEWER, "4 to 6": MANY}
"""Explorations by the number of their sprites, where transition models on true factors are tested."""
TESTS = (("objects", "1 to 6"), ("objects", "1 to 3"), ("objects", "4 to 6"), ("random", "1 to 6"))
"""With which policy, and where; of pictures with the first alone."""
SWAPS = ("all learned", "true dynamics", "true reward", "both true")
PROPOSALS: tuple[Proposal, ...] = ("uniform", "policy", "mixed")
NOISES = (0.0, 0.05)
"""On actions while an agent is tested; 0.05 is taken to be the paper's setting (unverified)."""
HORIZONS = (1, 3)
"""Steps that the longer searches look ahead."""


def dynamics_errors(agent: CobraAgent, arenas: int) -> dict[str, float]:
    """How wrong the transition model is about actions that hit, relative to that nothing moves.

    All agents meet the same scenes and actions, and whatever they were trained with, the error is that of true factors,
    slot by slot; of pictures it is that of the pixels that changed.

    Args:
        agent: that has explored.
        arenas: trajectories of 10 steps.

    Returns:
        By "POLICY/SPRITES", those of `TESTS`: clicks into sprites ("objects") or uniform actions ("random"); of
        pictures "objects/seen", in the scenes of the exploration.
    """
    encoder, transition, _ = agent.frozen()
    seen = agent.config.vision is not None
    loss = TransitionLoss(kind="pixel" if seen else "aligned")
    found = {}
    for name, sprites in (("objects", "seen"),) if seen else TESTS:
        environment = agent.environment(SCENES.get(sprites, agent.config.exploration_task))
        keys = (*RandomObject.observes, *(("image",) if seen else ()))
        world = World(environment.arena.build(), environment.observer, encoder, keys)
        sizes = {"latents": encoder.latents, "action": world.action}
        policy = (RandomObject.Config() if name == "objects" else Uniform.Config()).build(**sizes)
        seed = derive_seed(agent.config.seed, "ablation probes", name, sprites)
        probe = collect(world, policy, arenas=arenas, steps=10, seed=seed, image=seen)
        errors = measure(probe.to(next(transition.parameters()).device), transition, loss, encoder)
        found[f"{name}/{sprites}"] = errors["changed_pixels" if seen else "relative_error"]
    return found


def swapped(agent: CobraAgent, task: str, episodes: int) -> dict[str, dict[str, dict[str, Any]]]:
    """A task with the truth in the place of what was learned: success and length, by `SWAPS` and mode. Nothing is
    trained, the candidates are the same.

    Raises:
        CapabilityError: slots that are no sprites have no true reward.
    """
    searcher = unpadded(agent.agent(task))
    learned = searcher.simulation
    assert isinstance(learned, LearnedSimulation)
    found: dict[str, dict[str, dict[str, Any]]] = {swap: {} for swap in SWAPS}
    for mode in MODES:
        environment = agent.environment(task, mode)
        arena, encoder = environment.arena.build(), searcher.encoder
        look = looking(environment.observer, encoder.observes)
        simulations: tuple[Simulation, ...] = (
            learned,
            TrueDynamics(arena, encoder, learned.reward, look),
            TrueReward(arena, learned.transition, encoder),
            TrueSimulation(arena),
        )
        for swap, simulation in zip(SWAPS, simulations, strict=True):
            actor = SearchAgent(encoder, simulation, searcher.proposals, searcher.planner, searcher.seed)
            found[swap][mode] = scored(actor, environment, episodes, agent.config.seed)
    return found


def searches(candidates: Sequence[int], budget: int) -> list[Planner]:
    """What is compared: numbers of candidates by where they come from, and then longer looks ahead with the same number
    of candidates.

    Args:
        candidates: of the searches over one step.
        budget: sequences of the others.
    """
    near: list[Planner] = [
        OneStepSearch(candidates=number, proposal=proposal) for proposal in PROPOSALS for number in candidates
    ]
    rounds = CrossEntropy().rounds
    far: list[Planner] = []
    for horizon in HORIZONS:
        far.append(RandomShooting(candidates=budget, horizon=horizon))
        far.append(CrossEntropy(candidates=max(1, budget // rounds), horizon=horizon))
    return [*near, *far]


def searched(agent: CobraAgent, task: str, planners: Sequence[Planner], episodes: int) -> list[dict[str, Any]]:
    """The held-out mode of a task with other searches and with noise, by one trained agent in the same scenes.

    Returns:
        A row for every search and noise: "search", "candidates", "proposal", "horizon", "noise", and the score.
    """
    searcher = unpadded(agent.agent(task))
    _, _, explorer = agent.frozen()
    rows = []
    for planner in planners:
        source = proposals_of(planner.proposal, explorer)
        actor = SearchAgent(searcher.encoder, searcher.simulation, source, planner, searcher.seed)
        for noise in NOISES:
            environment = replace(task_config(task, "test", noise or None), observer=agent.config.observer)
            row = {
                "search": type(planner).__name__,
                "candidates": planner.candidates,
                "proposal": planner.proposal,
                "horizon": getattr(planner, "horizon", 1),
                "noise": noise,
            }
            rows.append({**row, **scored(actor, environment, episodes, agent.config.seed)})
    return rows


def unpadded(searcher: SearchAgent) -> SearchAgent:
    """The same agent without slots that are always empty: they change nothing but the time that a search takes."""
    encoder = searcher.encoder
    if isinstance(encoder, OracleFactors):
        encoder = replace(encoder.config, slots=None).build()
    return SearchAgent(encoder, searcher.simulation, searcher.proposals, searcher.planner, searcher.seed)


def scored(actor: SearchAgent, environment: SpriteworldConfig, episodes: int, seed: int) -> dict[str, Any]:
    """Success with its interval, and the mean length of an episode."""
    score = evaluate(actor, environment, episodes, seed)
    return {"success": score.success, "interval": list(score.success_interval), "length": score.length}


def random_success(tasks: Sequence[str], episodes: int) -> dict[str, float]:
    """Success of uniform actions on the tasks as they are trained."""
    arenas = {task: task_config(task).arena.build() for task in tasks}
    return {task: success_rate(arena, RandomPolicy(arena), episodes, seed=0).success for task, arena in arenas.items()}


def minutes(agents: Sequence[CobraAgent]) -> float:
    """Of training, what is shared counted once."""
    seconds: dict[str, float] = {}
    for agent in agents:
        places = {key: agent.path / stage for stage, key in shared_stages(agent.config).items()}
        places |= {str(path): path for path in (agent.path / "tasks" / task for task in agent.config.tasks)}
        seconds |= {key: _seconds(path) for key, path in places.items()}
    return round(sum(seconds.values()) / 60, 2)


def _seconds(path: Path) -> float:
    return float(Run(path).info().get("seconds", 0.0))

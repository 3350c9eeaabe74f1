"""Physics: closed forms of the motions, and what has to be conserved."""

from __future__ import annotations

import json
import math
import pickle

import pytest
import torch
from torch import Tensor

from percepts.core.config import from_json, to_json
from percepts.core.errors import ConfigError
from percepts.data.distributions import Continuous
from percepts.envs.spriteworld.physics import (
    Bounce,
    Collisions,
    Drift,
    InTurn,
    PairForces,
    Physics,
    Pushing,
    kinetic_energy,
)
from percepts.envs.spriteworld.state import DEFAULTS, FACTORS, SHAPES, Sprites

CIRCLE = 1 + list(SHAPES).index("circle")


def arena(*sprites: dict[str, float]) -> Sprites:
    """One arena of circles."""
    factors = [list((DEFAULTS | {"shape": CIRCLE} | given).values()) for given in sprites]
    return Sprites.of(
        torch.tensor(factors, dtype=torch.float64).reshape(1, -1, 10), torch.ones(1, len(sprites), dtype=torch.bool)
    )


def at(x: float, y: float, x_vel: float = 0.0, y_vel: float = 0.0, scale: float = 0.1) -> dict[str, float]:
    return {"x": x, "y": y, "x_vel": x_vel, "y_vel": y_vel, "scale": scale}


def crowd(count: int, most: int = 5, seed: int = 0) -> Sprites:
    generator = torch.Generator().manual_seed(seed)
    factors = torch.rand(count, most, 10, dtype=torch.float64, generator=generator)
    factors[..., FACTORS.index("shape")] = torch.randint(1, 13, (count, most), generator=generator).double()
    factors[..., FACTORS.index("scale")] = 0.05 + 0.3 * factors[..., FACTORS.index("scale")]
    factors[..., -2:] = 0.4 * factors[..., -2:] - 0.2
    made = Sprites.of(factors, torch.rand(count, most, generator=generator) < 0.8)
    made.position[~made.present] = torch.nan
    return made


def run(physics: Physics, state: Sprites, steps: int, keep_in_frame: bool = True) -> Sprites:
    for _ in range(steps):
        state = physics.advance(state, keep_in_frame)
    return state


def momentum(state: Sprites) -> Tensor:
    return (state.velocity * (state.scale**2)[..., None]).sum(1)


def test_drift() -> None:
    state = arena(at(0.5, 0.5, 0.2, -0.1), at(0.1, 0.9, 0.0, 0.0))
    after = run(Drift(), state, 2)
    torch.testing.assert_close(after.position[0, 0], torch.tensor([0.9, 0.3], dtype=torch.float64))
    assert torch.equal(after.position[0, 1], state.position[0, 1])
    assert run(Drift(), state, 4).position[0, 0, 0] == 1.0
    assert run(Drift(), state, 4, keep_in_frame=False).position[0, 0, 0] == pytest.approx(1.3)
    assert torch.equal(after.velocity, state.velocity)


def triangle_wave(way: float) -> float:
    """A point that goes to and fro between 0 and 1."""
    return 1 - abs(way % 2 - 1)


@pytest.mark.parametrize("speed", [0.03, 0.4, 1.0, 2.7])
def test_bounces_are_a_triangle_wave(speed: float) -> None:
    state = arena(at(0.25, 0.5, speed, -speed / 3))
    for step in range(1, 60):
        state = Bounce().advance(state, True)
        assert float(state.position[0, 0, 0]) == pytest.approx(triangle_wave(0.25 + step * speed), abs=1e-9)
        assert float(state.position[0, 0, 1]) == pytest.approx(triangle_wave(0.5 - step * speed / 3), abs=1e-9)
        assert state.velocity.abs()[0, 0].tolist() == [speed, speed / 3]
        assert not state.out_of_frame.any()


def test_walls_stop_outlines_and_take_speed() -> None:
    state = crowd(200)
    state = Sprites.of(state.factors.nan_to_num(), state.present)
    physics = Bounce(touch="outline")
    after = run(physics, state, 20)
    corners = after.corners[state.present]
    assert float(corners.min()) > -1e-9
    assert float(corners.max()) < 1 + 1e-9
    torch.testing.assert_close(after.velocity.abs(), state.velocity.abs())
    once = Bounce(restitution=0.5).advance(arena(at(0.9, 0.5, 0.2, 0.1)), True)
    torch.testing.assert_close(once.velocity[0, 0], torch.tensor([-0.1, 0.1], dtype=torch.float64))
    assert float(once.position[0, 0, 0]) == pytest.approx(0.9)
    huge = physics.advance(arena(at(0.1, 0.1, 0.3, 0.3, scale=2.0)), True)
    torch.testing.assert_close(huge.position[0, 0], torch.tensor([0.5, 0.5], dtype=torch.float64), atol=0.01, rtol=0)


def spring_error(substeps: int) -> float:
    """How far two sprites on a spring are from the closed form d(t) = rest + A·cos(ωt) after twelve steps."""
    stiffness, mass = 0.002, 0.01
    physics = PairForces(spring=stiffness, rest_length=0.3, substeps=substeps)
    state = run(physics, arena(at(0.3, 0.5), at(0.7, 0.5)), 12)
    expected = 0.3 + 0.1 * math.cos(math.sqrt(2 * stiffness / mass) * 12)
    gap = float(state.position[0, 1, 0] - state.position[0, 0, 0])
    assert float(state.position[..., 0].mean()) == pytest.approx(0.5, abs=1e-12)
    assert state.position[..., 1].tolist() == [[0.5, 0.5]]
    return abs(gap - expected)


def test_springs_swing_as_in_the_textbook() -> None:
    coarse, fine = spring_error(4), spring_error(8)
    assert fine < 1e-3
    assert coarse / fine == pytest.approx(4, rel=0.1)  # a method of second order


def test_orbits_are_circles() -> None:
    # Two masses m on a circle of radius r around their middle: v² = G·m/(4r).
    mass, radius, strength = 0.01, 0.2, 0.5
    speed = math.sqrt(strength * mass / (4 * radius))
    state = arena(at(0.5 - radius, 0.5, 0.0, -speed), at(0.5 + radius, 0.5, 0.0, speed))
    physics = PairForces(gravity=strength, softening=0.0, substeps=16)
    turn = 2 * math.pi * radius / speed
    for _ in range(round(turn)):
        state = physics.advance(state, False)
        away = (state.position - 0.5).norm(dim=-1)
        assert away.tolist() == [[pytest.approx(radius, abs=1e-4)] * 2]
    # The last step leaves out a part of the turn.
    angle = 2 * math.pi * round(turn) / turn
    expected = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64) * radius + 0.5
    torch.testing.assert_close(state.position[0, 1], expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    "physics",
    [
        PairForces(spring=0.002, substeps=16),
        PairForces(gravity=0.05, softening=0.1, substeps=16),
        PairForces(gravity=-0.05, softening=0.1, substeps=16),
        PairForces(repulsion=0.002, reach=0.5, substeps=16),
        PairForces(spring=0.001, gravity=1e-4, softening=0.1, repulsion=0.001, reach=0.3, mass="unit", substeps=16),
    ],
)
def test_energy_and_momentum_are_conserved(physics: PairForces) -> None:
    state = start = arena(
        at(0.3, 0.4, 0.02, 0.0, 0.1), at(0.6, 0.5, 0.0, -0.01, 0.2), at(0.5, 0.7, -0.01, 0.01, 0.15), at(0.45, 0.55)
    )
    before = float((kinetic_energy(state, physics.mass) + physics.potential(state))[0])
    moved, largest = 0.0, 0.0
    for _ in range(20):
        after = physics.advance(state, False)
        moved = max(moved, float((kinetic_energy(after, physics.mass) - kinetic_energy(state, physics.mass)).abs()[0]))
        state = after
        energy = float((kinetic_energy(state, physics.mass) + physics.potential(state))[0])
        largest = max(largest, abs(energy - before))
    assert largest < 0.02 * moved  # while energy does go from one form to the other
    start = arena(
        at(0.3, 0.4, 0.02, 0.0, 0.1), at(0.6, 0.5, 0.0, -0.01, 0.2), at(0.5, 0.7, -0.01, 0.01, 0.15), at(0, 0)
    )
    if physics.mass == "area":
        torch.testing.assert_close(momentum(state), momentum(start), atol=1e-12, rtol=0)
    else:
        torch.testing.assert_close(state.velocity.sum(1), start.velocity.sum(1), atol=1e-12, rtol=0)


def test_the_force_is_the_slope_of_the_potential() -> None:
    physics = PairForces(spring=0.3, gravity=2.0, repulsion=0.5, reach=0.6, softening=0.05, mass="unit")
    state = crowd(6, seed=2)
    push = physics.acceleration(state)
    for sprite in range(5):
        for axis in range(2):
            step = torch.zeros(5, 2, dtype=torch.float64)
            step[sprite, axis] = 1e-6
            more, less = (
                physics.potential(state.moved((sign * step).expand(len(state), -1, -1), False)) for sign in (1, -1)
            )
            torch.testing.assert_close(push[:, sprite, axis], (less - more) / 2e-6, atol=1e-6, rtol=1e-6)


def test_forces_have_a_reach_and_choose() -> None:
    state = arena(at(0.2, 0.5), at(0.6, 0.5), at(0.65, 0.5))
    push = PairForces(repulsion=1.0, reach=0.1, mass="unit").acceleration(state)[0]
    assert push[0].tolist() == [0.0, 0.0]
    assert push[1].tolist() == [pytest.approx(-0.5), 0.0]
    assert push[2].tolist() == [pytest.approx(0.5), 0.0]
    chosen = PairForces(spring=1.0, among=Continuous("x", 0.0, 0.62)).acceleration(state)[0]
    assert chosen[2].tolist() == [0.0, 0.0]
    assert chosen[0, 0] > 0
    still = arena(at(0.5, 0.5), at(0.5, 0.5))
    assert torch.equal(PairForces(spring=1.0, gravity=1.0).advance(still, True).position, still.position)


def test_damping_fades_velocities() -> None:
    state = run(PairForces(damping=0.1, substeps=3), arena(at(0.1, 0.1, 0.02, 0.01)), 10)
    assert state.velocity[0, 0].tolist() == [pytest.approx(0.02 * math.exp(-1)), pytest.approx(0.01 * math.exp(-1))]


@pytest.mark.parametrize("scales", [(0.1, 0.1), (0.1, 0.2), (0.3, 0.15)])
def test_elastic_collisions(scales: tuple[float, float]) -> None:
    state = arena(at(0.2, 0.5, 0.05, 0.0, scales[0]), at(0.7, 0.5, -0.02, 0.0, scales[1]))
    after = run(Collisions(motion=Drift()), state, 12)
    one, other = scales[0] ** 2, scales[1] ** 2
    mean = (one * 0.05 - other * 0.02) / (one + other)
    assert after.velocity[0, :, 0].tolist() == [pytest.approx(2 * mean - 0.05), pytest.approx(2 * mean + 0.02)]
    torch.testing.assert_close(kinetic_energy(after), kinetic_energy(state))
    torch.testing.assert_close(momentum(after), momentum(state))
    lumped = run(Collisions(motion=Drift(), restitution=0.0), state, 12)
    assert lumped.velocity[0, :, 0].tolist() == [pytest.approx(mean)] * 2


def test_glancing_collisions_keep_energy_and_sideways_speed() -> None:
    state = arena(at(0.4, 0.5, 0.0, 0.03, 0.2), at(0.52, 0.58, 0.0, -0.01, 0.1))
    velocity = Collisions().bounced(state)
    assert not torch.equal(velocity, state.velocity)
    across = torch.tensor([-0.08, 0.12], dtype=torch.float64)
    torch.testing.assert_close(velocity @ across, state.velocity @ across)
    after = Sprites(**{**vars(state), "velocity": velocity})
    torch.testing.assert_close(kinetic_energy(after), kinetic_energy(state))
    torch.testing.assert_close(momentum(after), momentum(state))
    assert torch.equal(Collisions().bounced(after), velocity)  # they part: nothing more happens


RADIUS = 0.1 / math.sqrt(math.pi)


def test_the_body_pushes_a_chain() -> None:
    state = arena(at(0.3, 0.5), at(0.3 + 1.5 * RADIUS, 0.5), at(0.3 + 3.2 * RADIUS, 0.5), at(0.9, 0.9), at(0.9, 0.91),
                  at(0.25, 0.5))  # fmt: skip
    after = Pushing().advance(state, True).position[0, :, 0].tolist()
    expected = [0.25 + 2 * RADIUS, 0.25 + 4 * RADIUS, 0.25 + 6 * RADIUS, 0.9, 0.9, 0.25]
    assert after == [pytest.approx(x) for x in expected]
    short = Pushing(sweeps=1).advance(state, True).position[0, :, 0].tolist()
    assert short[:2] == [pytest.approx(0.25 + 2 * RADIUS), pytest.approx(0.3 + 1.5 * RADIUS)]


def test_pushing_stops_at_the_border_and_leaves_the_immovable() -> None:
    state = arena(at(0.99, 0.5), at(0.98, 0.5))
    assert Pushing().advance(state, True).position[0, 0].tolist() == [1.0, 0.5]
    assert Pushing().advance(state, False).position[0, 0, 0] > 1
    fixed = Pushing(movable=Continuous("x", 0.0, 0.5)).advance(state, True)
    assert torch.equal(fixed.position, state.position)
    stacked = Pushing().advance(arena(at(0.5, 0.5), at(0.5, 0.5)), True)
    assert stacked.position[0, 0].tolist() == [pytest.approx(0.5 + 2 * RADIUS), 0.5]
    apart = arena(at(0.2, 0.5), at(0.2 + 2.01 * RADIUS, 0.5))
    assert torch.equal(Pushing().advance(apart, True).position, apart.position)


def test_in_turn() -> None:
    state = arena(at(0.3, 0.5, 0.01, 0.0), at(0.25, 0.5))
    both = InTurn(parts=(Pushing(), Drift())).advance(state, True)
    assert both.position[0, 0, 0] == pytest.approx(0.25 + 2 * RADIUS + 0.01)


KINDS: list[Physics] = [
    Drift(),
    Bounce(touch="outline", restitution=0.9),
    PairForces(spring=0.01, gravity=0.01, repulsion=0.01, damping=0.1, motion=Bounce(), substeps=3),
    Collisions(restitution=0.8),
    Pushing(),
    InTurn(parts=(Pushing(), Collisions(), Drift())),
]
kinds = pytest.mark.parametrize("physics", KINDS, ids=lambda physics: type(physics).__name__)


@kinds
def test_an_arena_does_not_depend_on_its_neighbours(physics: Physics) -> None:
    state = crowd(64, seed=1)
    whole = run(physics, state, 3)
    assert torch.isfinite(whole.position[state.present]).all()  # absent sprites' numbers do not leak
    assert not torch.equal(whole.position[state.present], state.position[state.present])
    for size in (1, 7):
        parts = [run(physics, state.rows(slice(start, start + size)), 3) for start in range(0, 64, size)]
        assert torch.equal(torch.cat([part.position for part in parts]).nan_to_num(), whole.position.nan_to_num())
        assert torch.equal(torch.cat([part.velocity for part in parts]).nan_to_num(), whole.velocity.nan_to_num())


@kinds
def test_centres_stay_in_the_frame(physics: Physics) -> None:
    state = crowd(100, seed=5)
    assert not run(physics, state, 10).out_of_frame.any()


@kinds
def test_physics_are_values(physics: Physics) -> None:
    assert from_json(json.loads(json.dumps(to_json(physics))), Physics) == physics
    assert pickle.loads(pickle.dumps(physics)) == physics
    assert physics.advance(crowd(2, most=0), True).position.shape == (2, 0, 2)


def test_bad_settings() -> None:
    for kind, settings in (
        (Bounce, {"restitution": 1.5}),
        (Bounce, {"touch": "corner"}),
        (PairForces, {"spring": math.nan}),
        (PairForces, {"softening": -1.0}),
        (PairForces, {"reach": 0.0}),
        (PairForces, {"substeps": 0}),
        (PairForces, {"among": Continuous("hue", 0.0, 1.0)}),
        (Collisions, {"restitution": -0.1}),
        (Pushing, {"sweeps": 0}),
        (InTurn, {"parts": ()}),
    ):
        with pytest.raises(ConfigError):
            kind(**settings)

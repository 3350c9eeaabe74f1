"""Feature World: find out by tests which features make objects light up (Ke et al. 2024).

    world = conjunction(values=5).build()                    # 75 hypotheses about 125 objects
    state = world.reset(seeds=range(256))
    state, outcome = world.step(state, action)
    world.knowledge().information_gain(state.alive, state.object_set)       # bits, for every object on offer

`text` says it all in words and `rendered` shows it on a table. `env` and `vector` offer it to Gymnasium, which is an
extra and imported there only.
"""

from percepts.envs.feature_world.features import DIMENSIONS, FeatureTables, feature_tables
from percepts.envs.feature_world.knowledge import Knowledge
from percepts.envs.feature_world.rendered import TableView
from percepts.envs.feature_world.state import Outcome, WorldState
from percepts.envs.feature_world.text import FeaturePrompt, TextWorld
from percepts.envs.feature_world.world import WASTED, FeatureWorld
from percepts.envs.feature_world.worlds import WORLDS, conjunction, k_of_n, single, table_top, world_config

__all__ = [
    "DIMENSIONS",
    "WASTED",
    "WORLDS",
    "FeaturePrompt",
    "FeatureTables",
    "FeatureWorld",
    "Knowledge",
    "Outcome",
    "TableView",
    "TextWorld",
    "WorldState",
    "conjunction",
    "feature_tables",
    "k_of_n",
    "single",
    "table_top",
    "world_config",
]

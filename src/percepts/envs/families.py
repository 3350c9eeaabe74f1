"""Families of Gymnasium's environments: "random-bottleneck" of the family "Alchemy" is "Alchemy/RandomBottleneck-v0".

    tables = Family("Alchemy", "level", single="percepts.envs.alchemy.env:AlchemyEnv", many="…:AlchemyVectorEnv")
    tables.register(LEVELS)
    gymnasium.make(tables.environment_id("random-bottleneck"))

Every family has a module that registers it when it is imported, so that an id may name that module.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from percepts.core.optional import require_package

require_package("gymnasium", extra="envs")

import gymnasium  # noqa: E402


@dataclass(frozen=True)
class Family:
    """Environments that one class makes by name.

    Attributes:
        name: before the stroke.
        argument: of the class, that takes a name of the family.
        single, many: "module:class" of one environment, and of its vector environment.
        version: of all ids; it rises when trajectories change.
    """

    name: str
    argument: str
    single: str
    many: str
    version: int = 0

    def environment_id(self, name: str) -> str:
        """The id of one of them."""
        return f"{self.name}/{''.join(word.capitalize() for word in name.split('-'))}-v{self.version}"

    def register(self, names: Iterable[str]) -> None:
        """Make these known to `gymnasium.make` and `make_vec`. Doing it twice changes nothing."""
        for name in names:
            identifier = self.environment_id(name)
            if identifier not in gymnasium.registry:
                gymnasium.register(
                    id=identifier,
                    entry_point=self.single,
                    vector_entry_point=self.many,
                    kwargs={self.argument: name},
                )

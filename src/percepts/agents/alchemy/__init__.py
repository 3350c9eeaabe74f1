"""Players of Alchemy: bots, solvers that know the rules, cognitive models, and how well any agent plays."""

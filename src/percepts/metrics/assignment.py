"""The best one-to-one assignment of rows to columns, for a whole batch of matrices at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num

from percepts.core.errors import DataError


def best_assignment(value: Num[np.ndarray, "batch rows columns"]) -> Int[np.ndarray, "batch rows"]:
    """For every row the column it gets, or -1 where there are fewer columns, so that the sum of values is largest.

    Exact: shortest augmenting paths with potentials (Jonker & Volgenant 1987), one step of all matrices at a time.
    Cubic in the number of rows and columns, linear in the batch.

    Raises:
        DataError: no three dimensions, or values that are NaN or infinite.
    """
    table = np.asarray(value, np.float64)
    if table.ndim != 3:
        raise DataError(f"values of shape {table.shape}", "[batch, rows, columns]", "value[None] for one matrix")
    if not np.isfinite(table).all():
        raise DataError("values that are NaN or infinite", "finite numbers")
    batch, rows, columns = table.shape
    if rows > columns:
        return _inverse(best_assignment(table.transpose(0, 2, 1)), rows)
    owner = np.full((batch, columns), -1)
    row_price, column_price = np.zeros((batch, rows)), np.zeros((batch, columns))
    for row in range(rows):
        _assign_one(-table, row, owner, row_price, column_price)
    return _inverse(owner, rows)


def _assign_one(
    cost: Float[np.ndarray, "batch rows columns"],
    row: int,
    owner: Int[np.ndarray, "batch columns"],
    row_price: Float[np.ndarray, "batch rows"],
    column_price: Float[np.ndarray, "batch columns"],
) -> None:
    """Give `row` a column in every matrix, moving the rows before it along the cheapest alternating path. In place."""
    batch, _, columns = cost.shape
    current = np.full(batch, row)  # the row at the end of the path
    last = np.full(batch, -1)  # the column that this row holds now
    total = np.zeros(batch)  # the length of the path
    free = np.full(batch, -1)  # the free column where the path ends
    reached = np.zeros((batch, columns), bool)
    distance, reached_at = np.full((2, batch, columns), np.inf)
    before = np.full((batch, columns), -1)  # the column before this one on the cheapest path to it
    live = np.arange(batch)
    while len(live):
        reduced = cost[live, current[live]] - row_price[live, current[live], None] - column_price[live]
        through = np.where(reached[live], np.inf, reduced + total[live, None])
        shorter = through < distance[live]
        distance[live] = np.where(shorter, through, distance[live])
        before[live] = np.where(shorter, last[live, None], before[live])
        nearest = np.where(reached[live], np.inf, distance[live]).argmin(axis=1)
        total[live] = distance[live, nearest]
        ends = owner[live, nearest] < 0
        free[live[ends]] = nearest[ends]
        live, nearest = live[~ends], nearest[~ends]
        reached[live, nearest] = True
        reached_at[live, nearest] = total[live]
        current[live], last[live] = owner[live, nearest], nearest
    # A column that the search reached gets cheaper by what the path went on for, and its row dearer.
    gain = np.where(reached, total[:, None] - reached_at, 0.0)
    column_price -= gain
    held = np.nonzero(reached)
    row_price[held[0], owner[held]] += gain[held]
    row_price[:, row] += total
    _shift(owner, before, free, row)


def _shift(
    owner: Int[np.ndarray, "batch columns"],
    before: Int[np.ndarray, "batch columns"],
    free: Int[np.ndarray, " batch"],
    row: int,
) -> None:
    """Hand every column of the path that ends in `free` to the owner of the column before, the first one to `row`."""
    live, column = np.arange(len(owner)), free
    while len(live):
        previous = before[live, column]
        first = previous < 0
        owner[live[first], column[first]] = row
        live, column, previous = live[~first], column[~first], previous[~first]
        owner[live, column] = owner[live, previous]
        column = previous


def _inverse(assigned: Int[np.ndarray, "batch ones"], others: int) -> Int[np.ndarray, "batch others"]:
    """From the other of each one (-1 for none) to the one of each other."""
    found = np.full((len(assigned), others), -1)
    batch, one = np.nonzero(assigned >= 0)
    found[batch, assigned[batch, one]] = one
    return found

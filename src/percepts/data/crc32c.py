"""CRC-32C (Castagnoli; RFC 3720, appendix B.4), fast without compiled code.

A CRC is linear over GF(2), so long data are cut into lanes that advance together, two bytes at a time by table, in
numpy; neighbours are then joined again and again: the state after a + b is that after a, moved on by len(b) bytes of 0,
xor that after b from state 0. Zeros in front of the data change nothing from state 0, so all lanes can be equally long.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # reflected
_SHORT = 512
_ONES = 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The CRC-32C of `data`."""
    if len(data) < _SHORT:
        return _serial(data, _ONES) ^ _ONES
    exponent = min(max((len(data).bit_length() - 1) // 2, 5), 10)  # lanes about as long as there are lanes
    lanes = -(-len(data) >> exponent)
    padded = np.zeros(lanes << exponent, np.uint8)
    first = len(padded) - len(data)
    padded[first:] = np.frombuffer(data, np.uint8)
    padded[first : first + 4] ^= 0xFF  # as good as beginning with all ones
    states = _advance(padded.view("<u2").reshape(lanes, -1))
    while len(states) > 1:
        if len(states) % 2:
            states = np.concatenate([np.zeros(1, np.uint32), states])
        states = _moved(states[0::2], exponent) ^ states[1::2]
        exponent += 1
    return int(states[0]) ^ _ONES


def _serial(data: bytes, state: int) -> int:
    table = _byte_table()
    for byte in data:
        state = table[(state ^ byte) & 0xFF] ^ state >> 8
    return state


def _advance(words: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """The state of every lane [L] after its words [L,W], from state 0."""
    table = _word_table()
    states = np.zeros(len(words), np.uint32)
    for column in np.ascontiguousarray(words.T):
        states = table[(states ^ column) & 0xFFFF] ^ states >> 16
    return states


def _moved(states: NDArray[np.uint32], exponent: int) -> NDArray[np.uint32]:
    """`states` after 2^exponent further bytes of 0."""
    table = _zeros_table(exponent)
    low = table[0][states & 0xFF] ^ table[1][states >> 8 & 0xFF]
    return low ^ table[2][states >> 16 & 0xFF] ^ table[3][states >> 24]


@functools.cache
def _zeros_table(exponent: int) -> NDArray[np.uint32]:
    """What each value of each of the four bytes of a state [4,256] adds to the state after 2^exponent bytes of 0."""
    values = np.arange(256, dtype=np.uint32)
    states = np.stack([values << np.uint32(8 * byte) for byte in range(4)])
    if exponent == 0:
        return np.array(_byte_table(), np.uint32)[states & 0xFF] ^ states >> 8
    return _moved(_moved(states, exponent - 1), exponent - 1)


@functools.cache
def _byte_table() -> tuple[int, ...]:
    table = []
    for state in range(256):
        for _ in range(8):
            state = state >> 1 ^ (_POLYNOMIAL if state & 1 else 0)
        table.append(state)
    return tuple(table)


@functools.cache
def _word_table() -> NDArray[np.uint32]:
    one = np.array(_byte_table(), np.uint32)
    states = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        states = one[states & 0xFF] ^ states >> 8
    return states

"""The gated Transformer-XL beside plain sums, one step and one head at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from percepts.nn.gated_transformer import Gate, GatedTransformer, RelativeAttention, sinusoids

MEMORY = 3


@pytest.fixture(autouse=True)
def own_stream() -> None:
    torch.manual_seed(0)


def test_attention_is_by_content_and_distance() -> None:
    attention = RelativeAttention(width=6, heads=2).double()
    torch.nn.init.normal_(attention.content_bias)
    torch.nn.init.normal_(attention.position_bias)
    inputs, context = torch.randn(2, 1, 6).double(), torch.randn(5, 1, 6).double()
    embedding = sinusoids(MEMORY + 1, 6).double()
    distance = torch.tensor([[3, 2, 1, 0, 0], [3, 3, 2, 1, 0]])
    seen = torch.tensor([[True, False, True, True, False], [False, True, True, True, True]])
    found = attention(inputs, context, embedding, distance, seen[None])
    for step in range(2):
        heads = [one_head(attention, head, inputs[step, 0], context[:, 0], embedding, distance[step], seen[step])
                 for head in range(2)]  # fmt: skip
        torch.testing.assert_close(found[step, 0], attention.output.weight @ torch.cat(heads))


def one_head(
    attention: RelativeAttention, head: int, step: Tensor, context: Tensor, embedding: Tensor, distance: Tensor,
    seen: Tensor,
) -> Tensor:  # fmt: skip
    size = attention.size
    part = slice(head * size, (head + 1) * size)
    query = (attention.query.weight @ step)[part]
    scores, values = [], []
    for place in range(len(context)):
        if seen[place]:
            key = (attention.key_value.weight[:6] @ context[place])[part]
            position = (attention.position.weight @ embedding[distance[place]])[part]
            score = (query + attention.content_bias[head]) @ key + (query + attention.position_bias[head]) @ position
            scores.append(float(score.detach()) / math.sqrt(size))
            values.append((attention.key_value.weight[6:] @ context[place])[part])
    weights = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
    return torch.stack([weight * value for weight, value in zip(weights, values)]).sum(0)


def test_a_gate_is_a_gru() -> None:
    gate = Gate(4, bias=0.5).double()
    old, new = torch.randn(3, 4).double(), torch.randn(3, 4).double()
    from_new, from_old = gate.from_new.weight, gate.from_old.weight
    reset = torch.sigmoid(new @ from_new[:4].T + old @ from_old[:4].T)
    update = torch.sigmoid(new @ from_new[4:8].T + old @ from_old[4:].T - 0.5)
    candidate = torch.tanh(new @ from_new[8:].T + (reset * old) @ gate.from_reset.weight.T)
    torch.testing.assert_close(gate(old, new), (1 - update) * old + update * candidate)


def test_it_starts_close_to_the_identity_where_gates_are_biased() -> None:
    inputs = torch.randn(4, 2, 8)
    first = torch.zeros(4, 2, dtype=torch.bool)
    gaps = []
    for bias in (0.0, 6.0):
        torch.manual_seed(0)
        stack = GatedTransformer(8, heads=2, layers=2, memory=MEMORY, gate_bias=bias)
        gaps.append(float((stack(inputs, stack.initial(2), first)[0] - inputs).abs().mean().detach()))
    assert gaps[1] < 0.02 < 0.2 < gaps[0]


@torch.no_grad()
def test_a_step_sees_itself_and_the_memory_before_it_in_every_layer() -> None:
    stack = GatedTransformer(8, heads=2, layers=2, memory=MEMORY).double()
    inputs, first = torch.randn(12, 1, 8).double(), torch.zeros(12, 1, dtype=torch.bool)
    remembered = stack.initial(1)
    remembered = type(remembered)(remembered.inputs.double(), remembered.valid)
    whole, _ = stack(inputs, remembered, first)
    for back in range(2 * MEMORY + 2):
        other = inputs.clone()
        other[10 - back] += torch.randn(8).double()
        gap = float((stack(other, remembered, first)[0] - whole)[10].abs().max())
        # Through two layers it reaches twice as far.
        assert (gap > 1e-9) == (back <= 2 * MEMORY), back


def test_no_gradient_goes_into_the_memory() -> None:
    stack = GatedTransformer(8, heads=2, layers=1, memory=MEMORY)
    inputs = torch.randn(2, 1, 8, requires_grad=True)
    first = torch.zeros(2, 1, dtype=torch.bool)
    _, remembered = stack(inputs, stack.initial(1), first)
    assert not remembered.inputs.requires_grad
    assert remembered.valid.tolist() == [[False, True, True]]


def test_sinusoids_are_sines_and_cosines() -> None:
    found = sinusoids(3, 4)
    torch.testing.assert_close(found[2], torch.tensor([math.sin(2), math.sin(0.02), math.cos(2), math.cos(0.02)]))

"""Truncated backpropagation through time: outputs, gradients, memory and errors."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import autograd as ag
from tinygrad_rnn import nn
from tinygrad_rnn.training import TruncatedBPTT
from tinygrad_rnn.training.serialization import load_tree, save_tree

LAYERS = {"RNN": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU}
counts = st.integers(1, 9)


def make_case(
    kind: str, steps: int, batch_first: bool = False, **options: Any
) -> tuple[Any, Any, Any]:
    """Return a float64 layer, inputs (T, 2, 3) and targets (T, 2, 4)."""
    layer = LAYERS[kind](3, 4, batch_first=batch_first, **options).to("float64")
    shape = (2, steps) if batch_first else (steps, 2)
    inputs, targets = (ag.random.Generator(n).normal((*shape, n), dtype="float64") for n in (3, 4))
    return layer, inputs, targets


def loss_of(outputs: Any, targets: Any) -> Any:
    return ((outputs - targets) ** 2).sum()


def gradients(layer: nn.Module) -> list[np.ndarray]:
    actual = [parameter.grad.numpy() for parameter in layer.parameters()]
    layer.zero_grad()
    return actual


@given(st.sampled_from(sorted(LAYERS)), counts, counts, st.integers(0, 9), st.booleans())
@example("GRU", 3, 2, 0, False)  # the last chunk is shorter
def test_gradients_of_all_chunks_sum_to_full_bptt(
    kind: str, steps: int, k1: int, more: int, batch_first: bool
) -> None:
    """The weights are constant, and k2 is at least the length of the stream."""
    k2 = max(steps, k1) + more
    layer, inputs, targets = make_case(kind, steps, batch_first, num_layers=2)
    loss_of(layer(inputs)[0], targets).backward()
    expected = gradients(layer)
    for outputs, chunk_targets in TruncatedBPTT(k1, k2, batch_first).chunks(layer, inputs, targets):
        loss_of(outputs, chunk_targets).backward()
    for actual, full in zip(gradients(layer), expected, strict=True):
        np.testing.assert_allclose(actual, full, rtol=0, atol=1e-10)


@given(st.sampled_from(sorted(LAYERS)), st.integers(1, 12), counts)
def test_k1_equal_to_k2_equals_a_loop_with_a_detached_state(kind: str, steps: int, k: int) -> None:
    layer, inputs, targets = make_case(kind, steps)
    state, expected = None, []
    for start in range(0, steps, k):
        outputs, state = layer(inputs[start : start + k], state)
        loss_of(outputs, targets[start : start + k]).backward()
        expected.append(gradients(layer))
        state = ag.tree_map(ag.Tensor.detach, state)
    bptt, actual = TruncatedBPTT(k), []
    for start in range(0, steps, k):
        outputs = bptt(layer, inputs[start : start + k])
        loss_of(outputs, targets[start : start + k]).backward()
        actual.append(gradients(layer))
    for window_gradients, loop_gradients in zip(actual, expected, strict=True):
        for pair in zip(window_gradients, loop_gradients, strict=True):
            np.testing.assert_array_equal(*pair)


@given(st.integers(1, 4), st.integers(0, 9), st.integers(1, 15))
def test_gradients_reach_back_exactly_k2_steps(k1: int, more: int, steps: int) -> None:
    """The reference is a pass that starts from the state k2 steps before its end."""
    k2 = k1 + more
    layer, inputs, targets = make_case("GRU", steps)
    chunks = TruncatedBPTT(k1, k2).chunks(layer, inputs, targets)
    for end, (outputs, chunk_targets) in zip([*range(k1, steps, k1), steps], chunks, strict=True):
        loss_of(outputs, chunk_targets).backward()
        actual = gradients(layer)
        start = 0 if end <= k2 else end - len(chunk_targets) - (k2 - k1)
        with ag.no_grad():
            state = layer(inputs[:start])[1] if start else None
        plain = layer(inputs[start:end], state)[0][-len(chunk_targets) :]
        np.testing.assert_allclose(plain.numpy(), outputs.numpy(), rtol=0, atol=1e-12)
        loss_of(plain, chunk_targets).backward()
        for pair in zip(actual, gradients(layer), strict=True):
            np.testing.assert_allclose(*pair, rtol=0, atol=1e-10)


def test_the_window_is_recomputed_with_the_current_weights() -> None:
    """After an update, outputs are computed with the new weights from the saved state."""
    layer, inputs, _ = make_case("RNN", 4)
    bptt = TruncatedBPTT(1, 2)
    bptt(layer, inputs[0:1])
    bptt(layer, inputs[1:2])  # saves the state after the first step
    saved = layer(inputs[0:1])[1].detach()
    for parameter in layer.parameters():
        parameter.data = parameter.data * 1.5
    expected = layer(inputs[1:3], saved)[0][-1:]
    np.testing.assert_allclose(
        bptt(layer, inputs[2:3]).numpy(), expected.numpy(), rtol=0, atol=1e-12
    )


def test_memory_is_bounded_by_k2() -> None:
    """Earlier inputs and their graph are freed."""
    layer, _, _ = make_case("LSTM", 1)
    bptt = TruncatedBPTT(2, 4)
    records = []
    gc.disable()
    try:
        for _ in range(20):
            outputs = bptt(layer, ag.random.default_generator.normal((2, 2, 3), dtype="float64"))
            records.append(weakref.ref(outputs))
            outputs.sum().backward()
        del outputs
        assert not [record for record in records if record() is not None]
    finally:
        gc.enable()
    saved = bptt.state_dict()
    assert saved["read"].shape[0] == 4
    leaves = ag.flatten((bptt._state, bptt._next_state, bptt._window))
    assert not any(leaf.requires_grad or not leaf.is_leaf for leaf in leaves)


def test_reset_starts_a_new_stream() -> None:
    layer, inputs, _ = make_case("LSTM", 6)
    bptt = TruncatedBPTT(3, 5)
    first = bptt(layer, inputs[:3]).numpy()
    assert not np.array_equal(bptt(layer, inputs[:3]).numpy(), first)
    bptt.reset()
    np.testing.assert_array_equal(bptt(layer, inputs[:3]).numpy(), first)


def test_chunks_starts_a_new_stream() -> None:
    layer, inputs, targets = make_case("GRU", 5)
    bptt = TruncatedBPTT(2, 3)
    first, second = (
        [outputs.numpy() for outputs, _ in bptt.chunks(layer, inputs, targets)] for _ in range(2)
    )
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(second))


def test_computed_inputs_get_gradients_of_the_newest_chunk() -> None:
    """Their graph is freed with the chunk, and recomputation uses detached inputs."""
    layer, inputs, _ = make_case("RNN", 4)
    scale = ag.ones(3, dtype="float64").requires_grad_()
    bptt = TruncatedBPTT(2, 4)
    for start in (0, 2):
        bptt(layer, inputs[start : start + 2] * scale).sum().backward()
    assert scale.grad is not None


@pytest.mark.parametrize("k2", [2, 3, 7])
def test_a_stream_continues_from_a_file(k2: int, tmp_path: Any) -> None:
    layer, inputs, _ = make_case("LSTM", 8)
    bptt, copy = TruncatedBPTT(2, k2), TruncatedBPTT(2, k2)
    for start in (0, 2):
        bptt(layer, inputs[start : start + 2])
    save_tree(tmp_path / "stream", bptt.state_dict())
    copy.load_state_dict(load_tree(tmp_path / "stream"), layer)
    for start in (4, 6):
        chunk = inputs[start : start + 2]
        np.testing.assert_array_equal(copy(layer, chunk).numpy(), bptt(layer, chunk).numpy())


def test_arrays_are_moved_to_the_device_of_the_weights(device: str) -> None:
    layer = nn.GRU(3, 4)
    outputs = TruncatedBPTT(2, 3)(layer, np.ones((2, 1, 3), np.float32))
    assert outputs.device == device


@pytest.mark.parametrize(("k1", "k2"), [(0, None), (0, 3), (3, 2), (-1, None)])
def test_invalid_k1_and_k2_are_errors(k1: int, k2: int | None) -> None:
    with pytest.raises(ValueError, match="1 <= k1 <= k2"):
        TruncatedBPTT(k1, k2)


@pytest.mark.parametrize("steps", [0, 4])
def test_a_chunk_of_invalid_length_is_an_error(steps: int) -> None:
    layer, _, _ = make_case("RNN", 1)
    with pytest.raises(ValueError, match=rf"1 to k1=3 steps, got {steps}"):
        TruncatedBPTT(3)(layer, np.ones((steps, 2, 3)))


def test_a_chunk_of_fewer_streams_is_an_error() -> None:
    bptt = TruncatedBPTT(3)
    model = nn.LSTM(2, 3)
    bptt(model, ag.zeros((3, 4, 2)))
    with pytest.raises(ValueError, match=r"shape \(3, 1, 2\) cannot continue .*drop_last=True"):
        bptt(model, ag.zeros((3, 1, 2)))
    bptt.reset()
    bptt(model, ag.zeros((3, 1, 2)))


def test_targets_of_another_length_are_an_error() -> None:
    layer, inputs, targets = make_case("RNN", 5)
    with pytest.raises(ValueError, match="targets must have 5 steps"):
        next(TruncatedBPTT(2).chunks(layer, inputs, targets[:4]))


def test_old_names_warn() -> None:
    bptt = TruncatedBPTT(2)
    layer, inputs, targets = make_case("GRU", 5)
    with pytest.warns(DeprecationWarning, match=r"TruncatedBPTT\.windows .* use chunks"):
        assert len(list(bptt.windows(layer, inputs, targets))) == 3
    with pytest.warns(DeprecationWarning, match="use for_evaluation"):
        assert bptt.reader().k2 == 2

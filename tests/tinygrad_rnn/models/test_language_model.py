"""The language model: its outputs, dropout and learning."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import autograd as ag
from tinygrad_rnn import nn, optim
from tinygrad_rnn.models import LanguageModel
from tinygrad_rnn.nn import functional as F

V = 5
sizes = st.integers(1, 4)


def tokens(T: int, B: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, V, (T, B))


@given(sizes, sizes, sizes, sizes, sizes)
def test_shapes_of_logits_and_states(T: int, B: int, embed: int, hidden: int, layers: int) -> None:
    model = LanguageModel(V, embed=embed, hidden=hidden, layers=layers)
    scores, (h, c) = model(tokens(T, B))
    assert scores.shape == (T, B, V)
    assert h.shape == c.shape == (layers, B, hidden)


def test_the_model_is_an_embedding_an_lstm_and_a_linear_map() -> None:
    model = LanguageModel(V, embed=2, hidden=3, layers=2)
    x = tokens(4, 2)
    outputs, _ = model.recurrent(ag.tensor(model.embedding.weight.numpy()[x]))
    expected = outputs.numpy() @ model.readout.weight.numpy().T + model.readout.bias.numpy()
    np.testing.assert_allclose(model(x)[0].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_names_of_the_saved_parameters() -> None:
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    assert [name for name, _ in LanguageModel(V, layers=2).named_parameters()] == [
        "embedding.weight",
        *(f"recurrent.{kind}_l{layer}" for layer in range(2) for kind in kinds),
        "readout.weight",
        "readout.bias",
    ]


@given(cut=st.integers(1, 7), seed=st.integers(0, 2**32 - 1))
def test_a_carried_state_joins_consecutive_windows(cut: int, seed: int) -> None:
    model, x = LanguageModel(V, embed=2, hidden=3, layers=2).to("float64"), tokens(8, 2, seed)
    whole, last = model(x)
    first, state = model(x[:cut])
    second, state = model(x[cut:], state)
    np.testing.assert_allclose(first.numpy(), whole.numpy()[:cut], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(second.numpy(), whole.numpy()[cut:], rtol=1e-12, atol=1e-14)
    for actual, expected in zip(state, last, strict=True):
        np.testing.assert_allclose(actual.numpy(), expected.numpy(), rtol=1e-12, atol=1e-14)


@given(t=st.integers(0, 5), seed=st.integers(0, 2**32 - 1))
def test_logits_do_not_depend_on_later_tokens(t: int, seed: int) -> None:
    model, x = LanguageModel(V, embed=2, hidden=3, layers=2), tokens(6, 2, seed)
    other = x.copy()
    other[t:] = (x[t:] + 1) % V
    scores, changed_scores = model(x)[0].numpy(), model(other)[0].numpy()
    np.testing.assert_array_equal(changed_scores[:t], scores[:t])
    assert (changed_scores[t] != scores[t]).any()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_dropout_does_not_act_on_recurrent_connections(
    layers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It acts on all steps at once: embeddings, between layers, before the output layer."""
    calls = []

    def spy(x: ag.Tensor, p: float, training: bool) -> ag.Tensor:
        calls.append((x.shape, p, training))
        return x

    monkeypatch.setattr(F, "dropout", spy)
    model = LanguageModel(V, embed=2, hidden=3, layers=layers, dropout=0.5)
    model(tokens(4, 2))
    assert calls == [((4, 2, 2), 0.5, True), *[((4, 2, 3), 0.5, True)] * layers]


def test_dropout_is_off_in_eval() -> None:
    model, x = LanguageModel(V, layers=2, dropout=0.5), tokens(4, 2)
    training = model(x)[0].numpy()
    evaluation = model.eval()(x)[0].numpy()
    assert not np.array_equal(training, evaluation)
    assert np.array_equal(model(x)[0].numpy(), evaluation)


@pytest.mark.host
def test_learning_a_period_that_one_token_does_not_determine() -> None:
    """1 and 2 alternate after 0, so the last token alone leaves half a bit per token."""
    text = np.tile([0, 1, 0, 2], 30)
    model = LanguageModel(3, embed=4, hidden=8)
    optimizer = optim.Adam(model.parameters(), lr=0.03)
    state = None
    for step in range(150):
        start = step * 10 % 100
        window = text[start : start + 11, None]
        scores, (h, c) = model(window[:-1], state)
        state = h.detach(), c.detach()
        loss = F.cross_entropy(scores.reshape(-1, 3), window[1:].ravel())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert loss.item() / np.log(2) < 0.05


def test_an_unknown_cell_raises() -> None:
    with pytest.raises(ValueError, match=r"cell must be one of lstm, got 'elman'"):
        LanguageModel(V, cell="elman")


def test_steps_continue_from_an_encoded_context() -> None:
    model, x = LanguageModel(V, embed=2, hidden=3, layers=2).to("float64"), tokens(8, 3)
    logits, _ = model(x)
    state, scores = model.step(model.encode(x[:6]), x[6])
    np.testing.assert_allclose(scores.numpy(), logits[6].numpy())
    np.testing.assert_allclose(model.step(state, x[7])[1].numpy(), logits[7].numpy())
    assert not any(leaf.requires_grad for leaf in ag.flatten(model.encode(x)))
    assert model.encode(x[:0]) is None

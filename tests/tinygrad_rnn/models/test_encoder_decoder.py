"""The encoder-decoder: equations, derivatives, ragged batches, decoding and learning."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrences import KINDS, assert_close, check_parameters, expected, make_case, sum_of_squares

import autograd as ag
from autograd import scan
from tinygrad_rnn import nn, optim
from tinygrad_rnn.models import EncoderDecoder, beam_search, decoder, sample

SOURCE, TARGET, END = 5, 4, 0
ATTENTIONS: dict[str, Any] = {
    "none": None,
    "dot": nn.DotAttention,
    "general": nn.GeneralAttention,
    "additive": nn.AdditiveAttention,
}
seeds = st.integers(0, 2**32 - 1)


def make_model(
    kind: str = "LSTM",
    attention: str = "additive",
    I: int = 2,
    H: int = 3,
    seed: int = 0,
    dropout: float = 0.0,
    **options: Any,
) -> EncoderDecoder:
    """Return a model in float64 with random weights."""
    encoder = make_case(kind, I=I, H=H, seed=seed, **options).layer
    model = EncoderDecoder(SOURCE, TARGET, encoder, ATTENTIONS[attention], dropout).to("float64")
    rng = np.random.default_rng(seed)
    model.load_state_dict({n: rng.uniform(-1, 1, p.shape) for n, p in model.named_parameters()})
    return model


def tokens(T: int, B: int, symbols: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, symbols, (T, B))


@st.composite
def models(draw: st.DrawFn, **options: Any) -> EncoderDecoder:
    bidirectional = draw(st.booleans())
    kinds = [name for name in ATTENTIONS if name != "dot" or not bidirectional]
    return make_model(
        draw(st.sampled_from(sorted(KINDS))),
        draw(st.sampled_from(kinds)),
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        draw(seeds),
        num_layers=draw(st.integers(1, 2)),
        bidirectional=bidirectional,
        **options,
    )


# --- equations ------------------------------------------------------------------------------------


def reference_scores(
    model: EncoderDecoder, kind: str, source: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute logits (T', V) and attention weights (T', T) of one sequence (T) in NumPy."""
    w = model.state_dict()
    embedded = ag.tensor(w["source_embedding.weight"][source][:, None])
    case = make_case(kind)._replace(layer=model.encoder, x=embedded, hx=None)
    outputs, last = expected(case)
    h = outputs[:, 0]
    if model.encoder.bidirectional:
        last = [
            np.concatenate([leaf[0::2], leaf[1::2]], -1) @ w[f"bridges.{i}.weight"].T
            + w[f"bridges.{i}.bias"]
            for i, leaf in enumerate(last)
        ]
    states = [tuple(leaf[k, 0] for leaf in last) for k in range(model.encoder.num_layers)]
    z = np.zeros(model.readout.in_features)
    scores, weights = np.zeros((len(target), TARGET)), np.zeros((len(target), len(source)))
    for t, token in enumerate(target):
        x = w["target_embedding.weight"][token]
        x = x if model.attention is None else np.concatenate([x, z])
        for k, cell in enumerate(model.cells):
            states[k] = KINDS[kind].step(cell.state_dict(), x, *states[k])
            x = states[k][0]
        z = x
        if model.attention is not None:
            c, a = (r.numpy() for r in model.attention(x[None], ag.tensor(h[:, None])))
            z = np.tanh(w["combine.weight"] @ np.concatenate([c[0], x]) + w["combine.bias"])
            weights[t] = a[0]
        scores[t] = w["readout.weight"] @ z + w["readout.bias"]
    return scores, weights


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_logits_follow_the_equations(kind: str, attention: str) -> None:
    model = make_model(kind, attention, num_layers=2, bidirectional=attention != "dot")
    source, target = tokens(4, 3, SOURCE), tokens(3, 3, TARGET)
    lengths = [4, 1, 2]
    scores = model(source, lengths, target).numpy()
    for b, n in enumerate(lengths):
        logits, weights = reference_scores(model, kind, source[:n, b], target[:, b])
        assert_close(scores[:, b], logits)
        if model.attention is not None:
            alignment = model.alignment(source, lengths, target).numpy()
            assert_close(alignment[b, :, :n], weights)
            assert not alignment[b, :, n:].any()


@given(models(), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), seeds)
def test_teacher_forcing_equals_single_steps(
    model: EncoderDecoder, T: int, steps: int, B: int, seed: int
) -> None:
    source, target = tokens(T, B, SOURCE, seed), tokens(steps, B, TARGET, seed)
    lengths = np.random.default_rng(seed).integers(0, T + 1, B)
    forced = model(source, lengths, target).numpy()
    state = model.encode(source, lengths)
    for t in range(steps):
        state, scores = model.step(state, target[t])
        assert_close(scores, forced[t])
    assert {len(leaf) for leaf in ag.flatten(state)} == {B}


def test_batch_first_transposes_the_result() -> None:
    transposed, model = make_model(batch_first=True), make_model()
    source, target, lengths = tokens(4, 3, SOURCE), tokens(3, 3, TARGET), [4, 0, 2]
    actual = transposed(source.T, lengths, target.T)
    assert_close(actual, model(source, lengths, target).swapaxes(0, 1))
    weights = transposed.alignment(source.T, lengths, target.T)
    assert_close(weights, model.alignment(source, lengths, target))


def test_names_of_the_saved_parameters() -> None:
    model = EncoderDecoder(5, 4, nn.GRU(2, 3, bidirectional=True), nn.AdditiveAttention)
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    assert [name for name, _ in model.named_parameters()] == [
        "source_embedding.weight",
        *(f"encoder.{kind}_l0{suffix}" for suffix in ("", "_reverse") for kind in kinds),
        "bridges.0.weight",
        "bridges.0.bias",
        "target_embedding.weight",
        *(f"attention.{name}.weight" for name in "WUv"),
        *(f"cells.0.{kind}" for kind in kinds),
        "combine.weight",
        "combine.bias",
        "readout.weight",
        "readout.bias",
    ]


# --- derivatives ----------------------------------------------------------------------------------


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_derivatives_to_second_order(attention: str) -> None:
    """Derivatives are with respect to all parameters. One source has length 0."""
    model = make_model("GRU", attention, H=2, bidirectional=attention != "dot")
    source, target = tokens(2, 3, SOURCE), tokens(2, 3, TARGET)
    check_parameters(model, lambda: model(source, [2, 0, 1], target))


def test_checkpointing_gives_the_same_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients, checkpoints = [], []
    monkeypatch.setattr(
        decoder,
        "scan",
        lambda *args, **kw: checkpoints.append(kw["checkpoint"]) or scan(*args, **kw),
    )
    for options in ({}, {"checkpoint": 2}):
        model = make_model(num_layers=2, **options)
        sum_of_squares(model(tokens(5, 2, SOURCE), [5, 2], tokens(5, 2, TARGET))).backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert checkpoints == [None, 2]
    for actual, expected_gradient in zip(*gradients, strict=True):
        assert_close(actual, expected_gradient)


def test_dropout_acts_on_embeddings_between_cells_and_before_the_output_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOGRAD_COMPILE", "0")  # a compiled step is only traced
    calls = []

    def spy(x: ag.Tensor, p: float, training: bool) -> ag.Tensor:
        calls.append((x.shape, p, training))
        return x

    monkeypatch.setattr(nn.functional, "dropout", spy)
    model = make_model(num_layers=2, dropout=0.5)
    model(tokens(4, 3, SOURCE), None, tokens(2, 3, TARGET))
    model.eval()(tokens(4, 3, SOURCE), None, tokens(2, 3, TARGET))
    active = [call for call in calls if call[1]]
    expected = [((4, 3, 2), 0.5), ((2, 3, 2), 0.5), *[((3, 3), 0.5)] * 2, ((2, 3, 3), 0.5)]
    assert active == [(*pair, training) for training in (True, False) for pair in expected]


# --- ragged batches -------------------------------------------------------------------------------


@given(models(), seeds)
def test_a_batch_equals_its_single_sequences(model: EncoderDecoder, seed: int) -> None:
    """Logits and decoded sequences equal the results of single sequences without padding."""
    source, target = tokens(4, 3, SOURCE, seed), tokens(3, 3, TARGET, seed)
    lengths = [4, 1, 2]
    scores = model(source, lengths, target)
    searches = [
        partial(beam_search, width=3, alpha=0.6),
        partial(beam_search, width=1, alpha=0),
        partial(sample, temperature=0),
    ]
    for b, n in enumerate(lengths):
        one = slice(b, b + 1)
        assert_close(scores[:, one], model(source[:n, one], None, target[:, one]))
        for search in searches:
            batched = search(model.step, model.encode(source, lengths), [1, 2, 3], END, 4)
            single = search(model.step, model.encode(source[:n, one]), [b + 1], END, 4)
            assert batched[b].tokens == single[0].tokens
            assert batched[b].score == pytest.approx(single[0].score, rel=1e-9)


@given(models(), seeds)
def test_the_padding_has_no_influence(model: EncoderDecoder, seed: int) -> None:
    """Gradients agree to rounding, since the rows of the embedding are summed in another order."""
    source, target, lengths = tokens(4, 3, SOURCE, seed), tokens(3, 3, TARGET, seed), [4, 0, 2]
    other = np.where(np.arange(4)[:, None] < lengths, source, (source + 1) % SOURCE)
    results = []
    for padded in (source, other):
        model.zero_grad()
        scores = model(padded, lengths, target)
        sum_of_squares(scores).backward()
        results.append([scores, *(parameter.grad for parameter in model.parameters())])
    for actual, other_result in zip(*results, strict=True):
        assert_close(actual, other_result)
        assert np.isfinite(actual.numpy()).all()
    np.testing.assert_array_equal(results[0][0].numpy(), results[1][0].numpy())


def test_logits_do_not_depend_on_later_symbols() -> None:
    model, source, target = make_model(), tokens(4, 3, SOURCE), tokens(3, 3, TARGET)
    other = target.copy()
    other[2] = (target[2] + 1) % TARGET
    scores, changed_scores = model(source, None, target).numpy(), model(source, None, other).numpy()
    np.testing.assert_array_equal(scores[:2], changed_scores[:2])
    assert (scores[2] != changed_scores[2]).any()


# --- learning -------------------------------------------------------------------------------------


@pytest.mark.host
@pytest.mark.parametrize("attention", ["dot", "additive"])
def test_learning_to_reverse_words(attention: str) -> None:
    """Words of up to 5 letters, padded with the end symbol; tested on 200 unseen words."""
    ag.manual_seed(0)
    rng = np.random.default_rng(0)
    letters, start, end = 6, 6, 7

    def batch(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lengths = rng.integers(1, 6, size)
        source = rng.integers(0, letters, (5, size))
        target = np.full((7, size), end)
        target[0] = start
        for b, n in enumerate(lengths):
            target[1 : n + 1, b] = source[:n, b][::-1]
        return source, lengths, target

    model = EncoderDecoder(8, 8, nn.GRU(12, 24), ATTENTIONS[attention])
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(250):
        source, lengths, target = batch(32)
        scores = model(source, lengths, target[:-1])
        loss = nn.functional.cross_entropy(scores.reshape(-1, 8), target[1:].ravel())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    source, lengths, target = batch(200)
    decoded = beam_search(model.step, model.encode(source, lengths), [start] * 200, end, 6)
    correct = [
        best.tokens == source[:n, b][::-1].tolist()
        for b, (best, n) in enumerate(zip(decoded, lengths, strict=True))
    ]
    assert np.mean(correct) > 0.95


# --- errors ---------------------------------------------------------------------------------------


def test_invalid_arguments_raise() -> None:
    with pytest.raises(ValueError, match="use GeneralAttention for different sizes"):
        EncoderDecoder(5, 4, nn.GRU(2, 3, bidirectional=True), nn.DotAttention)
    model = make_model(attention="none")
    with pytest.raises(ValueError, match="no attention, so it has no attention weights"):
        model.alignment(tokens(4, 3, SOURCE), None, tokens(3, 3, TARGET))

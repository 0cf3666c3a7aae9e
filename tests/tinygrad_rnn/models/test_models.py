"""Models against their equations, one sequence at a time; learning, files and errors."""

from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recurrences import KINDS, assert_close, check_parameters, make_case, sum_of_squares

import autograd as ag
from tinygrad_rnn import models, nn, optim, training
from tinygrad_rnn.nn import functional as F

SYMBOLS, CLASSES, END = 5, 3, 0
POOLINGS = ("last", "mean", "max")
seeds = st.integers(0, 2**32 - 1)


class Doubled(nn.Cell):
    """A cell whose output is not part of its state."""

    def step(self, h: Any, x: Any) -> tuple[Any, Any]:
        h = ag.tanh(x + self.recurrent(h))
        return h, 2 * h


def randomized(model: Any, seed: int = 0) -> Any:
    """Return the model in float64 with random weights."""
    rng = np.random.default_rng(seed)
    model.double()
    model.load_state_dict({n: rng.uniform(-1, 1, p.shape) for n, p in model.named_parameters()})
    return model


def layer_of(kind: str, **options: Any) -> nn.Recurrent:
    return make_case(kind, I=2, H=3, **options).layer


@st.composite
def label_models(draw: st.DrawFn, poolings: tuple[str | None, ...] = (*POOLINGS, None)) -> Any:
    """Draw a classifier of any pooling, or a tagger (None), with any cell and options."""
    layer = layer_of(
        draw(st.sampled_from(sorted(KINDS))),
        num_layers=draw(st.integers(1, 2)),
        bidirectional=draw(st.booleans()),
        batch_first=draw(st.booleans()),
    )
    symbols = draw(st.sampled_from([None, SYMBOLS]))
    pooling = draw(st.sampled_from(poolings))
    model = (
        models.SequenceTagger(layer, CLASSES, symbols)
        if pooling is None
        else models.SequenceClassifier(layer, CLASSES, symbols, pooling)
    )
    return randomized(model, draw(seeds))


def random_inputs(model: Any, T: int, B: int, seed: int = 0) -> np.ndarray:
    """Return features (T, B, 2), or symbols (T, B)."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, SYMBOLS, (T, B)) if model.embedding else rng.normal(size=(T, B, 2))


def logits_of(model: Any, x: np.ndarray, lengths: Any = None) -> ag.Tensor:
    """Return the logits of time-major x: (B, V), or (T, B, V) of a tagger."""
    if not model.recurrent.batch_first:
        return model(x, lengths)  # type: ignore[no-any-return]
    scores = model(x.swapaxes(0, 1), lengths)
    return scores if scores.ndim == 2 else scores.swapaxes(0, 1)


# --- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", [*POOLINGS, None])
@given(st.data(), seeds)
def test_labels_equal_the_labels_of_single_sequences(
    pooling: str | None, data: st.DataObject, seed: int
) -> None:
    """Computed from the layer's outputs and last state; lengths are unsorted, and one is 0."""
    model = data.draw(label_models((pooling,)))
    x, lengths = random_inputs(model, 4, 4, seed), [2, 4, 0, 3]
    scores, w = logits_of(model, x, lengths).numpy(), model.state_dict()
    layer, H = model.recurrent, model.recurrent.output_size
    for b, n in enumerate(lengths):
        outputs, pooled = np.zeros((n, H)), np.zeros(H)
        if n:
            rows = w["embedding.weight"][x[:n, b]] if model.embedding else x[:n, b]
            h, state = layer(ag.tensor(rows))  # without a batch
            outputs, last = h.numpy(), ag.flatten(state)[0].numpy()[-layer.directions :]
            if isinstance(model, models.SequenceClassifier):
                pool = {"last": last.ravel, "mean": partial(outputs.mean, 0)}
                pooled = pool.get(model.pooling, partial(outputs.max, 0))()
        if isinstance(model, models.SequenceClassifier):
            assert_close(scores[b], w["readout.weight"] @ pooled + w["readout.bias"])
        else:
            assert_close(scores[:n, b], outputs @ w["readout.weight"].T + w["readout.bias"])


@given(label_models())
def test_sequences_without_lengths_are_as_long_as_the_batch(model: Any) -> None:
    x = random_inputs(model, 4, 3)
    assert_close(logits_of(model, x), logits_of(model, x, [4, 4, 4]))
    single = model(x[:, 1])  # without a batch
    assert_close(single, logits_of(model, x)[..., 1, :])


@given(label_models(), seeds)
def test_the_padding_has_no_influence(model: Any, seed: int) -> None:
    x, lengths = random_inputs(model, 4, 3, seed), [4, 0, 2]
    mask = np.arange(4)[:, None] < lengths
    other = np.where(mask, x, (x + 1) % SYMBOLS) if model.embedding else x.copy()
    if not model.embedding:
        other[~mask] = np.nan
    results = []
    for padded in (x, other):
        model.zero_grad()
        scores = logits_of(model, padded, lengths)
        sum_of_squares(scores).backward()
        results.append([scores, *(parameter.grad for parameter in model.parameters())])
    np.testing.assert_array_equal(results[0][0].numpy(), results[1][0].numpy())
    for actual, expected in zip(*results, strict=True):
        assert np.isfinite(actual.numpy()).all()
        assert_close(actual, expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_output_of_a_cell_is_pooled_even_if_it_is_not_the_state(pooling: str) -> None:
    layer = nn.Recurrent(Doubled(2, 3, dtype="float64"), bidirectional=True)
    model = randomized(models.SequenceClassifier(layer, CLASSES, pooling=pooling))
    x = random_inputs(model, 4, 1)
    h = layer(x)[0].numpy()[:, 0]
    ends = np.concatenate([h[-1, :3], h[0, 3:]])
    pooled = {"last": ends, "mean": h.mean(0), "max": h.max(0)}[pooling]
    assert_close(model(x)[0], model.readout(ag.tensor(pooled)))
    assert model.half()(x.astype("float16"), [4]).dtype == "float16"


@pytest.mark.parametrize("pooling", [*POOLINGS, None])
@pytest.mark.parametrize("symbols", [None, SYMBOLS])
def test_derivatives_of_labels_to_second_order(pooling: str | None, symbols: int | None) -> None:
    layer = layer_of("GRU", bidirectional=True)
    model = (
        models.SequenceTagger(layer, CLASSES, symbols)
        if pooling is None
        else models.SequenceClassifier(layer, CLASSES, symbols, pooling)
    )
    x = random_inputs(randomized(model), 3, 3)
    check_parameters(model, lambda: model(x, [2, 0, 3]))


def record_dropout(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Return a list to which dropout appends its input shapes from now on, in training."""
    shapes: list[tuple[int, ...]] = []

    def spy(x: Any, p: float, training: bool) -> Any:
        if p and training:
            shapes.append(x.shape)
        return x

    monkeypatch.setenv("AUTOGRAD_COMPILE", "0")  # a compiled step is only traced
    monkeypatch.setattr(nn.functional, "dropout", spy)
    return shapes


def test_dropout_acts_on_embeddings_and_before_the_output_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes = record_dropout(monkeypatch)
    symbols, features = np.zeros((4, 2), int), np.zeros((4, 2, 2))
    models.SequenceClassifier(nn.GRU(2, 3), CLASSES, SYMBOLS, dropout=0.5)(symbols)
    models.SequenceTagger(nn.GRU(2, 3), CLASSES, dropout=0.5)(features)
    models.Forecaster(nn.GRU(2, 3), dropout=0.5)(features)
    models.Captioner(nn.Linear(2, 3), 4, nn.GRUCell(3, 5), dropout=0.5)(
        ag.tensor(features[0]), symbols
    )
    assert shapes == [(4, 2, 2), (2, 3), (4, 2, 3), (4, 2, 3), (4, 2, 3), (4, 2, 5)]


def learn(model: nn.Module, batch: Any, updates: int, lr: float) -> float:
    """Train and return the last loss; a batch consists of logits and classes."""
    optimizer = optim.Adam(model.parameters(), lr=lr)
    for _ in range(updates):
        scores, labels = batch(model)
        loss = F.cross_entropy(scores.reshape(-1, scores.shape[-1]), labels.ravel())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_classifier_learns_the_order_of_two_symbols(pooling: str) -> None:
    """The symbols 1 and 2 among zeros, tested on 100 unseen sequences."""
    rng = np.random.default_rng(0)

    def batch(size: int) -> Any:
        x, lengths = np.zeros((8, size), int), rng.integers(3, 9, size)
        label = rng.integers(0, 2, size)
        for b in range(size):
            positions = sorted(rng.choice(lengths[b], 2, replace=False))
            x[positions, b] = [1, 2] if label[b] else [2, 1]
        return x, lengths, label

    def scores(model: Any) -> Any:
        x, lengths, label = batch(32)
        return model(x, lengths), label

    model = models.SequenceClassifier(nn.GRU(4, 12), 2, 3, pooling)
    learn(model, scores, 150, 0.03)
    x, lengths, label = batch(100)
    assert np.mean(model(x, lengths).numpy().argmax(1) == label) > 0.95


def test_a_bidirectional_tagger_learns_from_both_neighbors() -> None:
    """The label says if a symbol is greater than both neighbors."""
    rng = np.random.default_rng(0)

    def batch(size: int) -> Any:
        x = rng.integers(1, 5, (7, size))
        padded = np.pad(x, ((1, 1), (0, 0)))
        return x, ((x > padded[:-2]) & (x > padded[2:])).astype(int)

    def scores(model: Any) -> Any:
        x, labels = batch(32)
        return model(x), labels

    model = models.SequenceTagger(nn.GRU(4, 12, bidirectional=True), 2, SYMBOLS)
    learn(model, scores, 150, 0.03)
    x, labels = batch(100)
    assert np.mean(model(x).numpy().argmax(-1) == labels) > 0.97


# --- captions -------------------------------------------------------------------------------------

ATTENTIONS: dict[str, Any] = {"none": None, "additive": nn.AdditiveAttention}


class VideoEncoder(nn.Module):
    """An encoder of videos (frames, B, 2): all outputs of a recurrent layer, or the last."""

    def __init__(self, all_frames: bool) -> None:
        self.all_frames, self.layer = all_frames, nn.GRU(2, 3, bidirectional=True)

    def forward(self, video: Any) -> Any:
        h, _ = self.layer(video)
        return h if self.all_frames else h[-1]


def make_captioner(kind: str = "LSTM", attention: str = "none", **options: Any) -> Any:
    """Return a captioner with 4 symbols; images are (B, 2), or with attention (R, B, 2)."""
    reader = nn.Sequential(nn.Linear(2, 4), nn.Tanh())
    cell: Any = layer_of(kind).cells[0]
    return randomized(models.Captioner(reader, 4, cell, ATTENTIONS[attention], **options))


def images(attention: str, B: int = 3) -> ag.Tensor:
    shape = (B, 2) if attention == "none" else (5, B, 2)
    return ag.tensor(np.random.default_rng(1).normal(size=shape))


def symbols(T: int = 4, B: int = 3) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 4, (T, B))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_captions_follow_the_equations(kind: str, attention: str) -> None:
    model, image, target = make_captioner(kind, attention), images(attention), symbols()
    w, scores = model.state_dict(), model(image, target).numpy()
    weights = None if attention == "none" else model.alignment(image, target).numpy()
    features = np.tanh(image.numpy() @ w["reader.0.weight"].T + w["reader.0.bias"])
    for b in range(3):
        v = features[b] if attention == "none" else features[:, b].mean(0)
        indices = range(len(model.bridges))
        state = tuple(w[f"bridges.{i}.weight"] @ v + w[f"bridges.{i}.bias"] for i in indices)
        z = np.zeros(model.readout.in_features)
        for t in range(4):
            x = w["target_embedding.weight"][target[t, b]]
            x = x if attention == "none" else np.concatenate([x, z])
            state = KINDS[kind].step(model.cells[0].state_dict(), x, *state)
            z = state[0]
            if weights is not None:
                q, keys = w["attention.W.weight"] @ z, features[:, b] @ w["attention.U.weight"].T
                e = np.exp(np.tanh(q + keys) @ w["attention.v.weight"][0])
                assert_close(weights[b, t], e / e.sum())
                c = features[:, b].T @ (e / e.sum())
                z = np.tanh(w["combine.weight"] @ np.concatenate([c, z]) + w["combine.bias"])
            assert_close(scores[t, b], w["readout.weight"] @ z + w["readout.bias"])


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_teacher_forcing_equals_single_steps(attention: str) -> None:
    model, image, target = make_captioner("GRU", attention), images(attention), symbols()
    forced, state = model(image, target), model.encode(image)
    for t in range(4):
        state, scores = model.step(state, target[t])
        assert_close(scores, forced[t])
    assert {len(leaf) for leaf in ag.flatten(state)} == {3}


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_batch_first_captions_are_transposed(attention: str) -> None:
    transposed, model = (make_captioner("GRU", attention, batch_first=b) for b in (True, False))
    image, target = images(attention), symbols()
    other = image if attention == "none" else image.swapaxes(0, 1)
    assert_close(transposed(other, target.T), model(image, target).swapaxes(0, 1))
    if attention != "none":
        assert_close(transposed.alignment(other, target.T), model.alignment(image, target))


@pytest.mark.parametrize("all_frames", [False, True])
def test_a_recurrent_layer_encodes_videos(all_frames: bool) -> None:
    attention = nn.AdditiveAttention if all_frames else None
    model = randomized(models.Captioner(VideoEncoder(all_frames), 4, nn.GRUCell(2, 3), attention))
    video, target = np.random.default_rng(0).normal(size=(5, 3, 2)), symbols()
    assert model.feature_size == 6  # both directions
    assert model(video, target).shape == (4, 3, 4)
    if all_frames:
        assert model.alignment(video, target).shape == (3, 4, 5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_derivatives_of_captions_to_second_order(attention: str) -> None:
    model, image = make_captioner("GRU", attention), images(attention, 2)
    check_parameters(model, lambda: model(image, symbols(2, 2)))


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_wide_beam_finds_the_best_of_all_captions(attention: str) -> None:
    model, image, max_length = make_captioner("LSTM", attention).eval(), images(attention), 4
    captions = [
        (*tokens, END) for n in range(max_length) for tokens in product((1, 2, 3), repeat=n)
    ]
    decoded = models.beam_search(
        model.step, model.encode(image), [1, 2, 3], END, max_length, width=4**max_length, alpha=0.5
    )
    greedy = models.sample(
        model.step, model.encode(image), [1, 2, 3], END, max_length, temperature=0
    )
    for b, (best, first) in enumerate(zip(decoded, greedy, strict=True)):
        single = image[..., b : b + 1, :]
        score = {}
        for caption in captions:
            scores = model(single, np.array([b + 1, *caption[:-1]])[:, None]).numpy()[:, 0]
            p = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
            log_p = np.log(p[np.arange(len(caption)), caption]).sum()
            score[caption] = log_p / ((5 + len(caption)) / 6) ** 0.5
        assert (*best.tokens, END) == max(score, key=score.__getitem__)
        assert best.score == pytest.approx(max(score.values()), rel=1e-9)
        scores = model(single, np.array([b + 1, *first.tokens])[:, None]).numpy()[:, 0]
        likeliest = scores.argmax(-1).tolist()
        assert likeliest[: len(first.tokens)] == first.tokens
        assert len(first.tokens) == max_length or likeliest[len(first.tokens)] == END


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_captioner_learns_to_name_pixels(attention: str) -> None:
    """The caption of three pixels, each 0 or 1, lists the pixels that are 1."""
    ag.manual_seed(0)
    all_images = np.array(list(product((0.0, 1.0), repeat=3)), np.float32)
    names = [[int(i) + 1 for i in np.flatnonzero(pixels)] for pixels in all_images]
    target = np.array([[4, *name, *[END] * (4 - len(name))] for name in names]).T
    regions = all_images.T[..., None] * np.eye(3, dtype=np.float32)[:, None]
    image = ag.tensor(all_images if attention == "none" else regions)
    model = models.Captioner(nn.Linear(3, 8), 5, nn.GRUCell(8, 16), ATTENTIONS[attention])
    loss = learn(model, lambda model: (model(image, target[:-1]), target[1:]), 200, 0.02)
    assert loss < 0.05
    captions = models.beam_search(model.step, model.encode(image), [4] * 8, END, 4)
    assert [caption.tokens for caption in captions] == names


# --- forecasts ------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(KINDS)), st.integers(1, 2), st.booleans(), st.booleans(), seeds)
def test_forecasts_follow_the_equation(
    kind: str, num_layers: int, batch_first: bool, residual: bool, seed: int
) -> None:
    """At once, in two parts, and without a batch."""
    layer = layer_of(kind, num_layers=num_layers, batch_first=batch_first)
    model = randomized(models.Forecaster(layer, residual=residual), seed)
    x = np.random.default_rng(seed).normal(size=(5, 3, 2))
    past = x.swapaxes(0, 1) if batch_first else x
    y, last = model(past)
    w, h = model.state_dict(), layer(past)[0].numpy()
    assert_close(
        y,
        h @ w["readout.weight"].T
        + w["readout.bias"]
        + (past @ w["skip.weight"].T if residual else 0),
    )
    axes = (slice(None),) * batch_first
    first, state = model(past[(*axes, slice(2))])
    second, state = model(past[(*axes, slice(2, None))], state)
    assert_close(ag.concatenate([first, second], int(batch_first)), y)
    for actual, expected in zip(ag.flatten(state), ag.flatten(last), strict=True):
        assert_close(actual, expected)
    assert_close(model(x[:, 1])[0], (y.swapaxes(0, 1) if batch_first else y)[:, 1])


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("batch", [True, False])
def test_forecasts_are_fed_back(batch_first: bool, batch: bool) -> None:
    """The result equals a repeated forward pass, but each step reads only the last forecast."""
    model = randomized(models.Forecaster(layer_of("LSTM", batch_first=batch_first, num_layers=2)))
    x = np.random.default_rng(0).normal(size=(5, 3, 2) if batch else (5, 2))
    is_batch_first = batch and batch_first
    past, time = (x.swapaxes(0, 1) if is_batch_first else x), int(is_batch_first)
    steps: list[int] = []
    model.recurrent.register_forward_pre_hook(lambda _, args: steps.append(args[0].shape[time]))
    forecast = model.forecast(past, 4)
    assert steps == [5, 1, 1, 1]
    assert not forecast.requires_grad
    whole = np.concatenate([past, forecast.numpy()], time)
    for t in range(4):
        before, now = ([slice(None)] * time + [s] for s in (slice(5 + t), slice(4 + t, 5 + t)))
        expected = model(whole[tuple(before)])[0].numpy()[tuple(now)]
        assert_close(expected, whole[(*[slice(None)] * time, slice(5 + t, 6 + t))])


@pytest.mark.parametrize("columns", [None, 1])
def test_the_initial_forecast_is_the_last_value(columns: int | None) -> None:
    """Without the output layer; if the columns differ from the inputs, the residual is 0."""
    model = models.Forecaster(nn.GRU(2, 3), columns)
    for parameter in model.readout.parameters():
        nn.init.zeros_(parameter)
    x = np.ones((4, 3, 2), np.float32)
    expected = x if columns is None else np.zeros((4, 3, 1))
    np.testing.assert_array_equal(model(x)[0].numpy(), expected)


def test_derivatives_of_forecasts_to_second_order() -> None:
    model = randomized(models.Forecaster(layer_of("GRU")))
    x = np.random.default_rng(0).normal(size=(3, 2, 2))
    check_parameters(model, lambda: model(x))


def test_a_forecaster_learns_and_continues_streams() -> None:
    """Forecasts 20 values of a wave after training by truncated back-propagation through time."""
    t = np.arange(221)[:, None]
    waves = np.sin(t / 4 + np.array([0, 1])).astype(np.float32)[..., None]  # two streams
    model = models.Forecaster(nn.GRU(1, 16))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.85)
    bptt = training.TruncatedBPTT(k1=20)
    for _ in range(25):
        for forecast, target in bptt.windows(model, waves[:200], waves[1:201]):
            optimizer.zero_grad()
            F.mse_loss(forecast, target).backward()
            optimizer.step()
        schedule.step()
    error = model.forecast(waves[:201], 20).numpy() - waves[201:]
    assert np.abs(error).mean() < 0.1  # the persistence forecast has 0.8


# --- files and errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.SequenceClassifier(nn.LSTM(2, 3, 2, bidirectional=True), 3, 5, "max"),
        lambda: models.SequenceTagger(nn.GRU(2, 3), 3),
        lambda: make_captioner("LSTM", "additive"),
        lambda: models.Forecaster(nn.LSTM(2, 3)),
    ],
)
def test_a_model_is_restored_from_its_file(make: Any, tmp_path: Path) -> None:
    model, other = randomized(make(), 1), randomized(make(), 2)
    training.save(tmp_path / "model.safetensors", model)
    training.load(tmp_path / "model.safetensors", other)
    for saved, restored in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(saved.numpy(), restored.numpy())


def test_invalid_arguments_raise() -> None:
    classifier = models.SequenceClassifier(nn.GRU(2, 3), 2)
    with pytest.raises(ValueError, match="one of last, mean, max, got 'first'"):
        models.SequenceClassifier(nn.GRU(2, 3), 2, pooling="first")
    with pytest.raises(ValueError, match="one integer for each of the 3 sequences"):
        classifier(np.zeros((4, 3, 2)), [4, 4])
    with pytest.raises(ValueError, match="Expected 2, got 5"):
        classifier(np.zeros((4, 3, 5)))
    with pytest.raises(ValueError, match="requires a unidirectional layer"):
        models.Forecaster(nn.GRU(2, 3, bidirectional=True))
    with pytest.raises(ValueError, match="reads 2 columns and predicts 1"):
        models.Forecaster(nn.GRU(2, 3), 1).forecast(np.zeros((4, 3, 2)), 2)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        models.Forecaster(nn.GRU(2, 3)).forecast(np.zeros((4, 3, 2)), 0)
    with pytest.raises(ValueError, match="pass feature_size="):
        models.Captioner(nn.Tanh(), 4, nn.GRUCell(2, 3))
    captioner = models.Captioner(nn.Tanh(), 4, nn.GRUCell(2, 3), feature_size=2)
    for shape in ((3, 5), (4, 3, 2)):
        with pytest.raises(
            ValueError, match=r"without attention the reader must return shape \(B, C\)"
        ):
            captioner.encode(ag.zeros(shape))
    with pytest.raises(
        ValueError, match=r"with attention the reader must return shape \(R, B, C\)"
    ):
        make_captioner("GRU", "additive").encode(ag.zeros((3, 2), "float64"))
    with pytest.raises(ValueError, match="no attention, so it has no attention weights"):
        captioner.alignment(ag.zeros((3, 2)), symbols())

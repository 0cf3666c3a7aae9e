"""The captioner: equations, derivatives, decoding and learning."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from model_cases import ATTENTIONS, make_captioner, randomized, symbols, train
from recurrences import KINDS, assert_close, check_parameters

import autograd as ag
from tinygrad_rnn import models, nn

END = 0


class VideoEncoder(nn.Module):
    """An encoder of videos (frames, B, 2): all outputs of a recurrent layer, or the last."""

    def __init__(self, all_frames: bool) -> None:
        self.all_frames, self.layer = all_frames, nn.GRU(2, 3, bidirectional=True)

    def forward(self, video: Any) -> Any:
        h, _ = self.layer(video)
        return h if self.all_frames else h[-1]


def images(attention: str, B: int = 3) -> ag.Tensor:
    shape = (B, 2) if attention == "none" else (5, B, 2)
    return ag.tensor(np.random.default_rng(1).normal(size=shape))


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


@pytest.mark.host
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
    loss = train(model, lambda model: (model(image, target[:-1]), target[1:]), 200, 0.02)
    assert loss < 0.05
    captions = models.beam_search(model.step, model.encode(image), [4] * 8, END, 4)
    assert [caption.tokens for caption in captions] == names

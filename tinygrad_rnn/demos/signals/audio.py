"""Spoken words: a waveform comes in, and what was said comes out.

    tinygrad-rnn demo audio
    tinygrad-rnn demo audio --data recordings --out runs/words

A network reads a spectrogram of mel bands, a hundred times a second. The words are made here of
formants, the resonances that make a vowel (G. E. Peterson & H. L. Barney, "Control methods used in
a study of the vowels", 1952), and of noise for consonants: by speakers of different pitch, size and
speed, in a noisy room. All are made of the same few sounds, so that the order of these counts.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.synthetic import make_spoken_word
from tinygrad_rnn.plotting import draw_heat_map, safe_label, subplots

CLAIM = "A recurrent network tells spoken words apart, whoever says them, however fast, in noise."
DATA = "a folder with one folder of .wav files for each class; subfolders are entered"
RATE = 8000
WORDS = ("masi", "sami", "misa", "sima", "fumi", "mufi", "sufa", "fusa", "amus", "umas")


def speaker(rng):
    """Pitch (Hz), size of the resonances, and time taken."""
    return rng.uniform(90, 230), rng.uniform(0.87, 1.15), rng.uniform(0.75, 1.3)


def features(samples):
    """Spectrogram (T, 24), of mean 0 whatever the loudness."""
    energies = data.log_mel(samples, RATE)
    return (energies - energies.mean()) / (energies.std() + 1e-3)


def examples(demo):
    """Sounds with the numbers of their classes, to learn from and held out; and the classes."""
    if demo.data is None:
        parts = []
        for speakers in (demo.choose(60, 25), 30):
            voices = [speaker(demo.rng) for _ in range(speakers)]
            words = [
                (make_spoken_word(demo.rng, w, *v), n) for v in voices for n, w in enumerate(WORDS)
            ]
            parts.append(words)
        return *parts, WORDS
    sounds, labels, classes = data.read_labeled_folder(
        demo.data, lambda file: data.read_wav(file, RATE)[0], ".wav"
    )
    held_out = set()
    for number in range(len(classes)):
        own = demo.rng.permutation(np.flatnonzero(np.array(labels) == number))
        held_out |= set(own[: max(1, len(own) // 5)].tolist())
    pairs = list(zip(sounds, labels, strict=True))
    train = [pair for i, pair in enumerate(pairs) if i not in held_out]
    return train, [pairs[i] for i in sorted(held_out)], classes


def classifier(classes, hidden=64):
    return models.SequenceClassifier(nn.GRU(24, hidden), classes, dropout=0.2)


def loss(model, batch):
    x, lengths, labels = batch
    return nn.functional.cross_entropy(model(x, lengths), labels)


def main(demo):
    train, test, classes = examples(demo)
    train, unseen = ([(features(sound), label) for sound, label in part] for part in (train, test))
    batches = data.DataLoader(train, 32, shuffle=True, collate_fn=data.pad_collate)
    model = classifier(len(classes))
    demo.train(model, loss, batches, steps=400, quick=120, rate=0.005)
    demo.save(model, classes=classes)
    right = []
    with ag.no_grad():
        for x, lengths, labels in data.DataLoader(unseen, 100, collate_fn=data.pad_collate):
            right.append(model(x, lengths).numpy().argmax(1) == labels.numpy())
    who = "speakers" if demo.data is None else "recordings"
    share = np.concatenate(right).mean()
    demo.record(f"right, of {who} never heard", share, "%", at_least=0.97, quick=0.7)
    demo.record("right by guessing", 1 / len(classes), "%")
    chosen = [len(classes) + i if demo.data is None else i * (len(test) - 1) for i in (0, 1)]
    data.write_wav(demo.path("word.wav", "the first of these"), test[chosen[0]][0], RATE)
    figure = draw(model, [unseen[i] for i in chosen], classes)
    demo.save_figure("words.png", figure, "two sounds and the class probabilities over time")


def draw(model, sounds, classes):
    names = [*map(safe_label, classes)]
    figure, panels = subplots(2, 2, width=10, height=6, sharex="col")
    for (above, below), (x, label) in zip(panels.T, sounds, strict=True):
        with ag.no_grad():
            held_for = model.predict_over_time(ag.tensor(x[:, None])).numpy()[:, 0]
        seconds, bottom = len(x) / 100, len(classes) - 0.5
        above.imshow(x.T, origin="lower", extent=(0, seconds, 0.5, 24.5))
        above.set(title=f'"{names[label]}"', ylabel="mel band")
        above.grid(visible=False)
        scale = "probability" if below is panels[-1, -1] else ""
        draw_heat_map(below, held_for.T, scale, rows=names, extent=(0, seconds, bottom, -0.5))
        below.set_xlabel("seconds")
    return figure


def predict(run, input):
    """The class of a WAV file."""
    classes = run.config["classes"]
    model = run.load(classifier(len(classes)))
    with ag.no_grad():
        scores = model(ag.tensor(features(data.read_wav(input, RATE)[0])[:, None]))
    p = ag.softmax(scores).numpy()[0]
    print(f"{classes[p.argmax()]} ({p.max():.0%})")

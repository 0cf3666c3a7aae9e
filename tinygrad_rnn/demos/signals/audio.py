"""Spoken words: classify waveforms of different speakers in noise.

    tinygrad-rnn demo audio
    tinygrad-rnn demo audio --data recordings --out runs/words

This demo classifies spoken words with a GRU that reads a mel spectrogram of 100 frames per second.
The words are synthesized from formants, the resonances that characterize vowels (G. E. Peterson &
H. L. Barney, "Control methods used in a study of the vowels", 1952), and from noise for consonants.
The speakers differ in pitch, size and speed, and the recordings are noisy. All words consist of the
same few sounds, so their order matters.
"""

import numpy as np

import autograd as ag
from tinygrad_rnn import data, models, nn
from tinygrad_rnn.data.generators.synthetic import make_spoken_word
from tinygrad_rnn.plotting import draw_heat_map, safe_label, subplots

CLAIM = "A recurrent network recognizes spoken words of unseen speakers, at any speed and in noise."
DATA = "a folder with one folder of .wav files for each class; subfolders are searched"
RATE = 8000
WORDS = ("masi", "sami", "misa", "sima", "fumi", "mufi", "sufa", "fusa", "amus", "umas")


def sample_speaker(rng):
    """Return the pitch (Hz), the scale of the formants, and the relative duration."""
    return rng.uniform(90, 230), rng.uniform(0.87, 1.15), rng.uniform(0.75, 1.3)


def spectrogram(samples):
    """Return the normalized log-mel spectrogram (T, 24)."""
    energies = data.log_mel(samples, RATE)
    return (energies - energies.mean()) / (energies.std() + 1e-3)


def load_examples(demo):
    """Return pairs (waveform, class index) for training and for test, and the classes."""
    if demo.data is None:
        parts = []
        for speakers in (demo.choose(60, 25), 30):
            voices = [sample_speaker(demo.rng) for _ in range(speakers)]
            parts.append(
                [
                    (make_spoken_word(demo.rng, word, *voice), label)
                    for voice in voices
                    for label, word in enumerate(WORDS)
                ]
            )
        return *parts, WORDS
    sounds, labels, classes = data.read_labeled_folder(
        demo.data, lambda file: data.read_wav(file, RATE)[0], ".wav"
    )
    test = set()
    for label in range(len(classes)):
        members = demo.rng.permutation(np.flatnonzero(np.array(labels) == label))
        test |= set(members[: max(1, len(members) // 5)].tolist())
    pairs = list(zip(sounds, labels, strict=True))
    train = [pair for i, pair in enumerate(pairs) if i not in test]
    return train, [pairs[i] for i in sorted(test)], classes


def build_model(classes, hidden=64):
    return models.SequenceClassifier(nn.GRU(24, hidden), classes, dropout=0.2)


def loss(model, batch):
    x, lengths, labels = batch
    return nn.functional.cross_entropy(model(x, lengths), labels)


def main(demo):
    train_sounds, test_sounds, classes = load_examples(demo)
    train, test = (
        [(spectrogram(sound), label) for sound, label in part]
        for part in (train_sounds, test_sounds)
    )
    batches = data.DataLoader(train, 32, shuffle=True, collate_fn=data.pad_collate)
    model = build_model(len(classes))
    demo.train(model, loss, batches, steps=400, quick=120, rate=0.005)
    demo.save(model, classes=classes)
    correct = []
    with ag.no_grad():
        for x, lengths, labels in data.DataLoader(test, 100, collate_fn=data.pad_collate):
            correct.append(model(x, lengths).numpy().argmax(1) == labels.numpy())
    unseen = "speakers" if demo.data is None else "recordings"
    accuracy = np.concatenate(correct).mean()
    demo.record(f"accuracy on unseen {unseen}", accuracy, "%", at_least=0.97, quick=0.7)
    demo.record("chance", 1 / len(classes), "%")
    chosen = [len(classes) + i if demo.data is None else i * (len(test) - 1) for i in (0, 1)]
    path = demo.path("word.wav", "the first word of words.png")
    data.write_wav(path, test_sounds[chosen[0]][0], RATE)
    figure = draw(model, [test[i] for i in chosen], classes)
    demo.save_figure("words.png", figure, "two words and the class probabilities over time")


def draw(model, sounds, classes):
    """Draw spectrograms above the class probabilities over time."""
    names = [*map(safe_label, classes)]
    figure, panels = subplots(2, 2, width=10, height=6, sharex="col")
    for (upper, lower), (x, label) in zip(panels.T, sounds, strict=True):
        with ag.no_grad():
            p = model.predict_over_time(ag.tensor(x[:, None])).numpy()[:, 0]
        seconds, bottom = len(x) / 100, len(classes) - 0.5
        upper.imshow(x.T, origin="lower", extent=(0, seconds, 0.5, 24.5))
        upper.set(title=f'"{names[label]}"', ylabel="mel band")
        upper.grid(visible=False)
        scale = "probability" if lower is panels[-1, -1] else ""
        draw_heat_map(lower, p.T, scale, rows=names, extent=(0, seconds, bottom, -0.5))
        lower.set_xlabel("time (s)")
    return figure


def predict(run, input):
    """Print the class of a WAV file."""
    classes = run.config["classes"]
    model = run.load(build_model(len(classes)))
    with ag.no_grad():
        scores = model(ag.tensor(spectrogram(data.read_wav(input, RATE)[0])[:, None]))
    p = ag.softmax(scores).numpy()[0]
    print(f"{classes[p.argmax()]} ({p.max():.0%})")

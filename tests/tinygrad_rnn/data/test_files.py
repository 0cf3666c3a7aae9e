"""WAV, IDX, FASTA and MIDI files: as independent programs write them, and damaged files."""

import gzip
import io
import math
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
from data_files import idx, on, refuses, written
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import wavfile

from tinygrad_rnn import data
from tinygrad_rnn.data.formats import midi
from tinygrad_rnn.data.formats.midi import NUM_TIME_SHIFTS, Note
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host  # files are processed on the host


def assert_damage_is_handled(load: Callable[..., Any], intact: Path, tmp_path: Path) -> None:
    """Assert that truncated files, and files with a changed byte, are read or raise InputError."""
    content, path = intact.read_bytes(), tmp_path / f"damaged{intact.suffix}"
    rng = np.random.default_rng(0)
    cases = [content[:end] for end in range(1, min(len(content), 90))]
    for place in range(min(len(content), 60)):
        values = (0, 0x7F, 0xFF, *rng.integers(256, size=3).tolist())
        cases += [content[:place] + bytes([byte]) + content[place + 1 :] for byte in values]
    for case in cases:
        path.write_bytes(case)
        try:
            load(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "load", [data.read_wav, data.read_idx, data.read_images, data.read_fasta, data.read_midi]
)
def test_missing_and_empty_files_raise(load: Callable[..., Any], tmp_path: Path) -> None:
    refuses(load, tmp_path / "none", "No such file")
    refuses(load, tmp_path, "is a ")
    (tmp_path / "empty").write_bytes(b"")
    refuses(load, tmp_path / "empty", "empty")


# --- WAV ------------------------------------------------------------------------------------------


def wav(path: Path, levels: list[int], width: int, channels: int = 1, rate: int = 8000) -> Path:
    """Write a WAV file with the standard library; `levels` are integers of `width` bytes."""
    content = b"".join(
        (v + 128 * (width == 1)).to_bytes(width, "little", signed=width > 1) for v in levels
    )
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(content)
    return path


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_of_all_widths(tmp_path: Path, width: int) -> None:
    limit = 2 ** (8 * width - 1)
    levels = [0, limit // 2, -limit // 2, -limit, limit - 1, 1]
    samples, rate = data.read_wav(wav(tmp_path / "a.wav", levels, width))
    assert rate == 8000
    np.testing.assert_array_equal(samples, np.array(levels) / limit)


def test_channels_are_averaged(tmp_path: Path) -> None:
    samples, _ = data.read_wav(wav(tmp_path / "a.wav", [100, 300, -50, 50], 2, channels=2))
    np.testing.assert_array_equal(samples, np.array([200, 0]) / 2**15)


def test_write_wav(tmp_path: Path) -> None:
    samples = np.array([0, 0.5, -1, 0.25, 7])
    data.write_wav(tmp_path / "a.wav", samples, 11025)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.getparams()[:4] == (1, 2, 11025, 5)
        assert struct.unpack("<5h", file.readframes(5)) == (0, 16384, -32768, 8192, 32767)


def test_damaged_wavs(tmp_path: Path) -> None:
    intact = wav(tmp_path / "a.wav", [1, -1] * 50, 2)
    content = intact.read_bytes()
    path = tmp_path / "b.wav"
    for damaged, parts in {
        content[:30]: ["within its header"],
        content[:-7]: ["ends within its samples, after 193 of 200 bytes"],
        b"ID3" + content: ["RIFF", "8, 16, 24 or 32 bits"],
        content.replace(b"\x10\x00\x00\x00\x01\x00", b"\x10\x00\x00\x00\x03\x00"): [
            "format 3",
            "16 bits",
        ],
        content[:22] + b"\0\0" + content[24:]: ["channels"],
        content[:24] + b"\0\0\0\0" + content[28:]: ["0 Hz"],
    }.items():
        path.write_bytes(damaged)
        refuses(data.read_wav, path, *parts)
    refuses(data.read_wav, wav(path, [], 2), "contains no samples")
    assert_damage_is_handled(data.read_wav, intact, tmp_path)


GUID = bytes.fromhex("000000001000800000aa00389b71")


def riff(tag: int, bits: int, raw: bytes, *, extended: bool, before: bytes = b"") -> bytes:
    """Return a WAV file of two channels; `before` are chunks before its samples."""
    block = 2 * ((bits + 7) // 8)
    form = struct.pack("<HHIIHH", 0xFFFE if extended else tag, 2, 8000, 8000 * block, block, bits)
    if extended:
        form += struct.pack("<HHIH", 22, bits, 3, tag) + GUID
    chunks = before + b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(raw)) + raw
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize(
    ("tag", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (1, 20), (3, 32), (3, 64)]
)
@pytest.mark.parametrize("suffix", [".wav", ".wav.gz"])
def test_wav_formats(tmp_path: Path, tag: int, bits: int, extended: bool, suffix: str) -> None:
    """Against SciPy's reader."""
    rng, path = np.random.default_rng(0), tmp_path / f"a{suffix}"
    width = (bits + 7) // 8
    if tag == 3:
        raw = rng.normal(size=100).astype(f"<f{width}").tobytes()
    else:
        raw = rng.bytes(100 * width)
    content = riff(tag, bits, raw, extended=extended)
    path.write_bytes(gzip.compress(content) if "gz" in suffix else content)
    samples, rate = data.read_wav(path)
    expected_rate, expected = wavfile.read(io.BytesIO(content))
    scale = {1: 2**7, 2: 2**15, 3: 2**31, 4: 2**31}[width] if tag == 1 else 1
    expected = (expected.astype(float) - 128 * (width == 1)) / scale
    assert rate == expected_rate == 8000
    np.testing.assert_allclose(samples, expected.mean(1), rtol=1e-12)


@pytest.mark.parametrize("pad", [b"\0", b""])
@pytest.mark.parametrize("size", [1, 5, 1001])
def test_chunks_of_odd_size_are_skipped_with_and_without_padding(
    tmp_path: Path, pad: bytes, size: int
) -> None:
    before = b"LIST" + struct.pack("<I", size) + b"x" * size + pad
    path = tmp_path / "a.wav"
    path.write_bytes(riff(1, 16, struct.pack("<4h", 1, 3, 5, 7), extended=False, before=before))
    np.testing.assert_array_equal(data.read_wav(path)[0], np.array([2, 6]) / 2**15)
    path.write_bytes(path.read_bytes()[: 20 + size])
    refuses(data.read_wav, path, "ends after", "within its header")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"RIFX" + bytes(40), "RIFX is a variant of WAV that is not supported"),
        (b"RF64" + b"\xff" * 40, "RF64 is a variant of WAV that is not supported"),
        (b"fLaC" + bytes(40), "begins with b'fLaC"),
        (b"RIFF\0\0\0\0AVI " + bytes(40), "WAVE"),
        (riff(2, 4, bytes(40), extended=False), "format 2 "),
        (riff(7, 8, bytes(40), extended=True), "format 7 "),
        (riff(3, 16, bytes(40), extended=True), "format 3 "),
        (riff(1, 40, bytes(40), extended=False), "40 bits"),
        (riff(1, 16, bytes(40), extended=True).replace(GUID, bytes(14)), "format 65534 "),
        (riff(3, 32, b"\0\0\x80\x7f" * 2, extended=False), "a sample is not finite"),
        (riff(3, 64, b"\xff" * 16, extended=False), "a sample is not finite"),
        (riff(1, 16, b"", extended=False).replace(b"fmt ", b"xxxx"), "no format chunk before"),
        (riff(1, 16, bytes(40), extended=False)[:-1], "after 39 of 40 bytes"),
    ],
)
def test_the_error_for_an_unsupported_wav_names_its_format(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    refuses(data.read_wav, path, message)


@pytest.mark.parametrize("to", [8000, 11025, 22050, 44100])
def test_resampling_preserves_a_tone(tmp_path: Path, to: int) -> None:
    def tone(rate: int) -> Any:
        return np.sin(2 * np.pi * 1000 * np.arange(rate // 5) / rate)

    np.testing.assert_allclose(data.resample(tone(16000), 16000, to), tone(to), atol=2e-3)
    levels = [round(v * 2**15 * 0.9) for v in tone(16000)]
    samples, rate = data.read_wav(wav(tmp_path / "a.wav", levels, 2, rate=16000), to)
    assert rate == to
    np.testing.assert_allclose(samples, 0.9 * tone(to), atol=2e-3)


def test_resampling_removes_frequencies_above_the_new_limit() -> None:
    high = np.sin(2 * np.pi * 6000 * np.arange(1600) / 16000)
    assert np.abs(data.resample(high, 16000, 8000)).max() < 1e-9


@pytest.mark.parametrize(("rate", "to"), [(8, 16), (8, 24), (16, 8), (24, 8), (8, 8)])
def test_resampling_preserves_the_amplitude_at_the_nyquist_frequency(rate: int, to: int) -> None:
    def tone(rate: int) -> Any:
        return np.cos(2 * np.pi * 4 * np.arange(2 * rate) / rate)

    np.testing.assert_allclose(data.resample(tone(rate), rate, to), tone(to), atol=1e-12)


def test_a_tone_is_in_the_band_of_its_frequency() -> None:
    rate, bands = 8000, 10
    edges = 2595 * math.log10(1 + (rate / 2) / 700) * np.arange(1, bands + 1) / (bands + 1)
    for band, center in enumerate(700 * (10 ** (edges / 2595) - 1)):
        tone = np.sin(2 * np.pi * center * np.arange(rate // 5) / rate)
        energies = data.log_mel(tone, rate, bands)
        assert energies.shape == (1 + (rate // 5 - 200) // 80, bands)
        assert (energies.argmax(1) == band).all()
    assert data.log_mel(np.zeros(3), rate).shape == (1, 24)


# --- IDX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [(8, "u1"), (9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")],
)
def test_idx_of_all_types(tmp_path: Path, code: int, kind: str) -> None:
    array = np.arange(-12, 12).reshape(2, 3, 4).astype(kind)
    path = tmp_path / "a"
    for content in (idx(array, code), gzip.compress(idx(array, code))):
        path.write_bytes(content)
        read = data.read_idx(path)
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(("place", "value"), [(10, 0xFF), (10, 0x07), (11, 0xFF), (-5, 0x55)])
def test_damaged_gzip_data_raise_an_input_error(tmp_path: Path, place: int, value: int) -> None:
    """Both if zlib detects the damage and if gzip does."""
    path = tmp_path / "images.gz"
    content = bytearray(gzip.compress(idx(np.arange(200, dtype="u1").reshape(10, 20), 8)))
    content[place] = value
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"images\.gz: damaged gzip data: ") as caught:
        data.read_idx(path)
    assert "\n" not in str(caught.value)


def mnist(folder: Path, images: Any, labels: Any) -> None:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images, 8)))
    (folder / "train-labels.idx1-ubyte").write_bytes(idx(labels, 8))


def test_mnist_of_digits(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    mnist(tmp_path, (digits.images * 15).astype(np.uint8), digits.target.astype(np.uint8))
    images, labels = data.read_mnist(tmp_path)
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, digits.images * 15 / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels, digits.target)
    with pytest.raises(InputError, match="expected t10k-images-idx3-ubyte or"):
        data.read_mnist(tmp_path, "t10k")


def test_damaged_idx(tmp_path: Path) -> None:
    images, labels = np.zeros((3, 2, 2), np.uint8), np.zeros(3, np.uint8)
    intact = idx(images, 8)
    path = tmp_path / "b"
    for damaged, parts in {
        b"\x89PNG\r\n": ["got 89 50 4e 47"],
        b"\0\0\7\1": ["got 00 00 07 01"],
        intact[:9]: ["ends after 9 bytes, within its header of 16"],
        intact[:-1]: ["expected 28 bytes for 3 x 2 x 2 numbers of 1 bytes, found 27"],
        intact + b"\0": ["found at least 29"],
        gzip.compress(intact)[:-9]: ["gzip"],
        b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\7": ["255 axes"],
        idx(labels, 8): [],
    }.items():
        path.write_bytes(damaged)
        refuses(data.read_images, path, *parts)
    path.write_bytes(intact)
    assert_damage_is_handled(data.read_images, path, tmp_path)
    refuses(data.read_mnist, path, "expected a folder")
    mnist(tmp_path, images, labels[:2])
    refuses(data.read_mnist, tmp_path, "has 3 images", "has 2 labels")
    mnist(tmp_path, images, images)
    refuses(data.read_mnist, tmp_path, "one axis")


# --- FASTA ----------------------------------------------------------------------------------------


def fasta(folder: Path, content: str) -> Path:
    path = folder / "a.fa"
    path.write_bytes(content.encode("latin-1"))
    return path


def test_fasta(tmp_path: Path) -> None:
    content = ">one of two\r\nacgATGGC\r\nTTAAuu\r\n\r\n>two\r\nnryaaaATG\r\n"
    one, two = data.read_fasta(fasta(tmp_path, content))
    assert (one.name, two.name) == ("one", "two")
    assert one.bases.tolist() == [0, 1, 2, 0, 3, 2, 2, 1, 3, 3, 0, 0, 3, 3]
    assert one.phases.tolist() == [0, 0, 0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 0, 0]
    assert two.bases.tolist() == [4, 4, 4, 0, 0, 0, 0, 3, 2]
    assert data.coding_regions(one.phases) == [(4, 12)]
    assert data.coding_regions(two.phases) == [(7, 9)]
    assert data.coding_regions([0, 0]) == []
    unlabeled = data.read_fasta(fasta(tmp_path, ">\nACGT\n>\nac\n"), labeled=False)
    assert [(s.name, s.phases.tolist()) for s in unlabeled] == [
        ("record1", [0] * 4),
        ("record2", [0] * 2),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("acgt\n", "line 1: expected a header line '>name'"),
        (">a\nacgATG\n>b\n\n>c\nacg\n", "line 3: no sequence follows the header of 'b'"),
        (
            ">a\nacg\nac-ATG\n",
            "line 3, column 3: expected a base",
        ),
        (">a\nac\xe9\n", "not utf-8"),
        (">a\nacgATGA\n", "line 1: 'a': the coding region 4 to 7 has 4 bases"),
        (">a\nACG\n", "all letters have the same case"),
        (" \n\n", "empty"),
    ],
)
def test_damaged_fasta(tmp_path: Path, content: str, message: str) -> None:
    refuses(data.read_fasta, fasta(tmp_path, content), message)


# --- MIDI -----------------------------------------------------------------------------------------


def test_midi_of_two_tracks(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.mid",
        [on(60), on(60, 100, 0), on(64), mido.Message("note_off", note=64, time=190)],
        [on(36, 2), on(38, channel=9), on(38, 5, 0, 9), on(36, 190, 0), on(12), on(12, 1, 0)],
        ticks_per_beat=96,
    )
    assert data.read_midi(path) == [Note(0, 15, 8), Note(0, 39, 4), Note(4, 43, 8), Note(8, 3, 1)]


notes = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 87)), min_size=1, unique_by=lambda n: n[1]
).flatmap(
    lambda places: st.tuples(
        st.just(sorted(places)), st.lists(st.integers(1, 9), min_size=len(places), max_size=99)
    )
)


@given(notes)
def test_written_midi_files_are_read_back(tmp_path_factory: Any, drawn: Any) -> None:
    places, lengths = drawn
    piece = [Note(*place, n) for place, n in zip(places, lengths, strict=False)]
    path = tmp_path_factory.getbasetemp() / "piece.mid"
    data.write_midi(path, piece, steps_per_beat=3)
    assert data.read_midi(path, steps_per_beat=3) == piece
    tokens = midi.notes_to_tokens(piece)
    decoded = midi.tokens_to_notes(tokens)
    gap = max(np.diff([n.start for n in piece]), default=0)
    if gap < NUM_TIME_SHIFTS:
        assert [n.start for n in decoded] == [n.start - piece[0].start for n in piece]
    assert [n.key for n in decoded] == [n.key for n in piece]


def test_tokens_of_a_chord_and_the_next_note() -> None:
    tokens = midi.notes_to_tokens([Note(0, 1, 4), Note(0, 5, 4), Note(4, 2, 3)])
    assert tokens.tolist() == [
        1 * NUM_TIME_SHIFTS,
        5 * NUM_TIME_SHIFTS + 4,
        2 * NUM_TIME_SHIFTS + 3,
    ]
    assert midi.tokens_to_notes(tokens) == [Note(0, 1, 4), Note(0, 5, 4), Note(4, 2, 3)]


def test_piano_roll() -> None:
    roll = midi.piano_roll([Note(0, 1, 2), Note(1, 87, 3)])
    assert roll.shape == (4, 88)
    assert np.argwhere(roll).tolist() == [[0, 1], [1, 1], [1, 87], [2, 87], [3, 87]]


def test_synthesized_notes_have_their_pitch() -> None:
    samples = midi.synthesize([Note(0, 48, 4)], rate=8000)
    assert np.abs(samples).max() == 1
    spectrum = np.abs(np.fft.rfft(samples[:4000]))
    assert spectrum.argmax() * 2 == 440


def test_damaged_midi(tmp_path: Path) -> None:
    path = tmp_path / "b.mid"
    path.write_bytes(b"RIFFabcdefgh" * 5)
    refuses(data.read_midi, path, "expected a MIDI file")
    intact = written(tmp_path / "a.mid", [on(60), on(60, 100, 0)] * 4)
    path.write_bytes(intact.read_bytes()[:-9])
    refuses(data.read_midi, path, "expected a MIDI file")
    path.write_bytes(intact.read_bytes()[:5])
    refuses(data.read_midi, path, "b.mid: ends too early; expected a MIDI file")
    refuses(data.read_midi, written(path, [on(38, channel=9)]), "contains no notes")
    assert_damage_is_handled(data.read_midi, intact, tmp_path)
    key = mido.MidiFile(tracks=[mido.MidiTrack([mido.MetaMessage("key_signature", key="C")])])
    key.save(path)
    path.write_bytes(path.read_bytes().replace(b"\xff\x59\x02\0\0", b"\xff\x59\x02\x49\0"))
    refuses(data.read_midi, path, "73 sharps")


@pytest.mark.parametrize("axes", [1, 31, 32, 33, 64, 255])
def test_an_idx_file_has_at_most_32_axes(tmp_path: Path, axes: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes([0, 0, 8, axes]) + (1).to_bytes(4, "big") * axes + b"\x07")
    if axes <= 32:
        assert data.read_idx(path).shape == (1,) * axes
    else:
        with pytest.raises(InputError, match=f"{axes} axes"):
            data.read_idx(path)


@pytest.mark.parametrize("shape", [(0, 2, 2), (2, 0, 2), (2, 2, 0)])
def test_images_without_pixels_raise(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "a"
    path.write_bytes(idx(np.zeros(shape, "u1"), 8))
    with pytest.raises(InputError, match="without empty axes"):
        data.read_images(path)


@pytest.mark.parametrize("max_shift", [1, 2, 3])
def test_images_are_shifted_by_all_distances_up_to_the_maximum(max_shift: int) -> None:
    images = np.zeros((1000, 9, 9), np.float32)
    images[:, 4, 4] = 1
    shifted = data.random_shift(np.random.default_rng(0), images, max_shift)
    _, down, right = np.nonzero(shifted)
    distances = set(range(-max_shift, max_shift + 1))
    assert set((down - 4).tolist()) == set((right - 4).tolist()) == distances
    assert len({*zip(down.tolist(), right.tolist(), strict=True)}) == len(distances) ** 2

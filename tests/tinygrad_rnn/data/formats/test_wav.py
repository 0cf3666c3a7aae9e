"""WAV files, resampling and log-mel spectrograms."""

import gzip
import io
import math
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import assert_damage_is_handled, assert_input_error
from scipy.io import wavfile

from tinygrad_rnn import data

pytestmark = pytest.mark.host  # files are processed on the host


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
        assert_input_error(data.read_wav, path, *parts)
    assert_input_error(data.read_wav, wav(path, [], 2), "contains no samples")
    assert_damage_is_handled(data.read_wav, intact, tmp_path)


GUID = bytes.fromhex("000000001000800000aa00389b71")


def riff(tag: int, bits: int, raw: bytes, *, extended: bool, leading_chunks: bytes = b"") -> bytes:
    """Return a WAV file of two channels; `before` are chunks before its samples."""
    block = 2 * ((bits + 7) // 8)
    form = struct.pack("<HHIIHH", 0xFFFE if extended else tag, 2, 8000, 8000 * block, block, bits)
    if extended:
        form += struct.pack("<HHIH", 22, bits, 3, tag) + GUID
    chunks = leading_chunks + b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(raw)) + raw
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize(
    ("tag", "bits"), [(1, 8), (1, 16), (1, 24), (1, 32), (1, 20), (3, 32), (3, 64)]
)
@pytest.mark.parametrize("suffix", [".wav", ".wav.gz"])
def test_wav_formats(tmp_path: Path, tag: int, bits: int, extended: bool, suffix: str) -> None:
    """The reference is SciPy's reader."""
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
    leading_chunks = b"LIST" + struct.pack("<I", size) + b"x" * size + pad
    path = tmp_path / "a.wav"
    path.write_bytes(
        riff(1, 16, struct.pack("<4h", 1, 3, 5, 7), extended=False, leading_chunks=leading_chunks)
    )
    np.testing.assert_array_equal(data.read_wav(path)[0], np.array([2, 6]) / 2**15)
    path.write_bytes(path.read_bytes()[: 20 + size])
    assert_input_error(data.read_wav, path, "ends after", "within its header")


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
    assert_input_error(data.read_wav, path, message)


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

"""Malicious files in each reader: they are read, or raise a one-line error, with little memory."""

import gzip
import io
import os
import random
import struct
import tarfile
import tracemalloc
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_rnn import data
from tinygrad_rnn.data.formats import midi
from tinygrad_rnn.data.formats.midi import Note
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host


def read_sound(path: Path) -> None:
    samples, rate = data.read_wav(path)
    assert np.isfinite(data.log_mel(samples, rate)).all()
    data.read_wav(path, 8000)


def read_music(path: Path) -> None:
    notes = data.read_midi(path)
    midi.piano_roll(notes)
    midi.tokens_to_notes(midi.notes_to_tokens(notes))


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "wav": ("a.wav", read_sound),
    "midi": ("a.mid", read_music),
    "idx": ("a", data.read_idx),
    "fasta": ("a.fa", data.read_fasta),
    "text": ("a.txt", data.TextCorpus.from_files),
    "lines": ("b.txt", lambda path: data.ParallelText.from_files(path, path)),
    "labeled csv": ("a.csv", data.LabeledText.from_file),
    "pairs tsv": ("a.tsv", data.ParallelText.from_file),
    "labeled jsonl": ("a.jsonl", data.LabeledText.from_file),
    "series csv": ("n.csv", data.TimeSeries.from_file),
}

every_reader = pytest.mark.parametrize("reader", READERS)


def error_message(load: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(InputError) as error:
        load(path)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    return message


def valid_content(reader: str, path: Path) -> bytes:
    """Return the content of a file that the reader accepts."""
    if reader == "wav":
        with wave.open(str(path), "wb") as file:
            file.setparams((2, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(range(200)))
        return path.read_bytes()
    if reader == "midi":
        data.write_midi(path, [Note(4 * i, 30 + i, 4) for i in range(9)])
        return path.read_bytes()
    return {
        "idx": b"\0\0\x0b\2" + struct.pack(">2I8h", 2, 4, *range(8)),
        "fasta": b">one\nacgATGtaa\n>two\nACG\n",
        "text": "Größe 书\r\nabc\n".encode(),
        "lines": b"a b\nc\n",
        "labeled csv": b'text,label\n"a ""b""\nc",x\nd,y\n',
        "pairs tsv": b'source\ttarget\na "b\tx\nc\ty\n',
        "labeled jsonl": b'{"text": "a", "label": 1, "z": [[{}]]}\n{"text": "b", "label": 2}\n',
        "series csv": b"a,b\n1,2\n3,4e5\n",
    }[reader]


def corrupted(rng: random.Random, content: bytes) -> bytes:
    """Return the content truncated, with changed bits or bytes, or with a repeated part."""
    result, place = bytearray(content), rng.randrange(len(content))
    match rng.randrange(6):
        case 0:
            del result[place:]
        case 1:
            result[place] ^= 1 << rng.randrange(8)
        case 2:
            result[place] = rng.choice((0, 0x7F, 0x80, 0xFF))
        case 3:
            result[place : place + 4] = rng.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4))
        case 4:
            result[place:place] = result[rng.randrange(len(result)) :]
        case _:
            result[place:] = rng.randbytes(rng.randrange(1, 60))
    return bytes(result)


@every_reader
@pytest.mark.parametrize("compressed", [False, True])
def test_corrupted_files_are_read_or_raise_an_input_error(
    reader: str, compressed: bool, tmp_path: Path
) -> None:
    name, load = READERS[reader]
    path = tmp_path / name
    content, rng = valid_content(reader, path), random.Random(reader)
    path.write_bytes(gzip.compress(content) if compressed else content)
    load(path)
    for _ in range(150):
        case = corrupted(rng, content)
        if compressed:
            case = gzip.compress(case)
            case = corrupted(rng, case) if rng.random() < 0.7 else case
        path.write_bytes(case)
        try:
            load(path)
        except InputError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017


@every_reader
def test_paths_that_are_not_readable_files(reader: str, tmp_path: Path) -> None:
    name, load = READERS[reader]
    path = tmp_path / name
    assert "No such file" in error_message(load, path)
    Path(f"{path}.gz").write_bytes(b"")
    assert f"but {path}.gz exists" in error_message(load, path)
    Path(f"{path}.gz").rename(path)
    assert f"but {path} exists" in error_message(load, Path(f"{path}.gz"))
    path.unlink()
    path.mkdir()
    assert "is a directory" in error_message(load, path)
    assert "Not a directory" in error_message(load, Path(__file__) / name)
    assert "too long" in error_message(load, tmp_path / ("x" * 300 + name))
    assert "not the name of a file" in error_message(load, Path(f"{tmp_path}/a\0{name}"))
    assert "not the name of a file" in error_message(load, Path(f"{tmp_path}/\ud800{name}"))
    assert "No such file" in error_message(load, Path(f"{tmp_path}/a\nb{name}"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="requires named pipes")
@every_reader
def test_pipes_and_devices_do_not_block(reader: str, tmp_path: Path) -> None:
    name, load = READERS[reader]
    path = tmp_path / name
    os.mkfifo(path)
    assert "empty" in error_message(load, path)  # no process writes to it
    link = tmp_path / "link" / name
    link.parent.mkdir()
    for device in ("/dev/zero", "/dev/null"):
        link.symlink_to(device)
        assert "is a device" in error_message(load, link)
        link.unlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="requires named pipes")
def test_a_pipe_with_a_writer_is_read(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, gzip.compress(b"abc"))
    os.close(write)
    try:
        assert data.read_text(f"/dev/fd/{read}") == "abc"
    finally:
        os.close(read)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
@every_reader
def test_files_without_permission(reader: str, tmp_path: Path) -> None:
    name, load = READERS[reader]
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / name).chmod(0)
    assert "Permission denied" in error_message(load, tmp_path / name)


def tar(form: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=form) as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return content.getvalue()


@every_reader
@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (b"BZh91AY&SY1", "is compressed by bzip2"),
        (b"\xfd7zXZ\0\0", "is compressed by xz"),
        (b"\x28\xb5\x2f\xfd12", "is compressed by zstd"),
        (b"PK\3\4\0\0", "is a zip archive"),
        (gzip.compress(gzip.compress(b"a")), "is compressed by gzip twice"),
        (tar(tarfile.GNU_FORMAT), "is a tar archive"),
        (gzip.compress(tar(tarfile.PAX_FORMAT)), "is a tar archive"),
    ],
    ids=["bzip2", "xz", "zstd", "zip", "gzip", "tar", "tar.gz"],
)
def test_other_compressed_files_are_recognized(
    reader: str, prefix: bytes, message: str, tmp_path: Path
) -> None:
    name, load = READERS[reader]
    (tmp_path / name).write_bytes(prefix)
    assert message in error_message(load, tmp_path / name)


@pytest.mark.parametrize("reader", ["wav", "midi", "idx", "fasta", "text"])
def test_messages_name_standard_input(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"not\xff this")))
    assert error_message(READERS[reader][1], Path("-")).startswith("standard input")


# --- sizes ----------------------------------------------------------------------------------------


def megabytes(load: Callable[[Path], Any], path: Path) -> float:
    """Return the peak memory in MiB while an invalid file is read."""
    tracemalloc.start()
    try:
        error_message(load, path)
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """40 MiB of spaces in 40 KiB, which extend a text that they are appended to."""
    return gzip.compress(b" " * (40 << 20), 6)


@every_reader
def test_decompression_bombs_raise(reader: str, bomb: bytes, tmp_path: Path) -> None:
    name, load = READERS[reader]
    content = valid_content(reader, tmp_path / name)
    (tmp_path / name).write_bytes(gzip.compress(content) + bomb)
    assert megabytes(load, tmp_path / name) < 30
    if reader != "idx":
        assert "expands to more than 16 MiB" in error_message(load, tmp_path / name)


def test_the_header_of_idx_is_checked_before_the_numbers_are_read(
    bomb: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    for head, message in {
        b"\0\0\x08\1" + struct.pack(">I", 9): "found at least 18",
        b"\0\0\x07\1" + struct.pack(">I", 9): "got 00 00 07 01",
        b"\0\0\x08\x7f": "127 axes",
        b"\0\0\x08\2" + b"\xff" * 8: "expands to more than 16 MiB",
    }.items():
        path.write_bytes(gzip.compress(head) + bomb)
        assert megabytes(data.read_idx, path) < (30 if "16 MiB" in message else 5)
        assert message in error_message(data.read_idx, path)
    for head in (b"\0\0\x0e\4" + b"\xff" * 16, b"\0\0\x0e\4" + b"\0" * 4 + b"\xff" * 12):
        for content in (head, gzip.compress(head)):
            path.write_bytes(content)
            assert megabytes(data.read_idx, path) < 5


def track(*events: bytes) -> bytes:
    body = b"".join(events)
    return b"MThd\0\0\0\6\0\0\0\1\0\1MTrk" + struct.pack(">I", len(body)) + body


@pytest.mark.parametrize(
    "wait",
    [b"\xff\xff\xff\x7f", b"\x88\x80\x80\0", b"\xff" * 300 + b"\0", b"\xff" * 1_000_000 + b"\0"],
    ids=len,
)
def test_the_length_of_a_piece_is_checked(wait: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(track(b"\0\x90\x3c\x40", wait + b"\x80\x3c\0", b"\0\xff\x2f\0"))
    assert megabytes(read_music, path) < 20
    error_message(data.read_midi, path)


@pytest.mark.parametrize("make", [midi.piano_roll, midi.synthesize])
@pytest.mark.parametrize("note", [Note(0, 40, 10**9), Note(10**9, 40, 1), Note(2**60, 40, 2**60)])
def test_long_notes_do_not_create_large_arrays(make: Callable[..., Any], note: Note) -> None:
    tracemalloc.start()
    with pytest.raises(InputError, match="too long"):
        make([Note(0, 40, 4), note])
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("rate", [0, 1, 100, 2_000_000, 2**32 - 1])
def test_the_rate_of_a_wav_is_checked(rate: int, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = valid_content("wav", path)
    path.write_bytes(content[:24] + struct.pack("<I", rate) + content[28:])
    assert megabytes(read_sound, path) < 5
    assert f"{rate} Hz" in error_message(read_sound, path)


@pytest.mark.parametrize("size", [2**31 - 1, 2**32 - 2, 2**32 - 1])
@pytest.mark.parametrize("place", [16, 40])
def test_sizes_of_wav_chunks_are_checked(size: int, place: int, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = valid_content("wav", path)
    path.write_bytes(content[:place] + struct.pack("<I", size) + content[place + 4 :])
    if place == 40 and size == 2**32 - 1:  # unknown size: the data extend to the end of the file
        assert len(data.read_wav(path)[0]) == 50
    else:
        assert megabytes(read_sound, path) < 5

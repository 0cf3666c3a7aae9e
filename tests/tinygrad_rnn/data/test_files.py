"""Opening files, and listing and reading folders of files."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from data_files import assert_input_error, note_on, write_tracks

from tinygrad_rnn import data
from tinygrad_rnn.data.formats.midi import Note

pytestmark = pytest.mark.host


@pytest.mark.parametrize(
    "load", [data.read_wav, data.read_idx, data.read_images, data.read_fasta, data.read_midi]
)
def test_missing_and_empty_files_raise(load: Callable[..., Any], tmp_path: Path) -> None:
    assert_input_error(load, tmp_path / "none", "No such file")
    assert_input_error(load, tmp_path, "is a ")
    (tmp_path / "empty").write_bytes(b"")
    assert_input_error(load, tmp_path / "empty", "empty")


def test_the_subfolders_are_the_classes(tmp_path: Path) -> None:
    for name in ("yes/2.wav", "yes/1.WAV", "yes/note.txt", "no/1.wav", "no/2.wav", ".git/x.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "no" / "._1.wav").write_bytes(b"metadata of some systems")
    files, labels, classes = data.list_labeled_files(tmp_path, ".wav")
    assert classes == ("no", "yes")
    assert [(p.parent.name, p.name) for p in files] == [
        ("no", "1.wav"),
        ("no", "2.wav"),
        ("yes", "1.WAV"),
        ("yes", "2.wav"),
    ]
    assert labels == [0, 0, 1, 1]


def test_subfolders_are_searched(tmp_path: Path) -> None:
    for name in ("b/2.wav", "b/c/1.wav.gz", "a.wav", "b/.c/3.wav", "b/c/.3.wav", "b/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    expected = [tmp_path / name for name in ("a.wav", "b/2.wav", "b/c/1.wav.gz")]
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    assert data.list_files(tmp_path, ".wav") == expected


def write_drums(path: Path) -> None:
    write_tracks(path, [note_on(38, channel=9)])


def test_unreadable_files_are_skipped_and_listed(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number // 10}").mkdir(exist_ok=True)
        data.write_midi(tmp_path / f"{number // 10}/{number}.mid", [Note(0, number, 1)])
    write_drums(tmp_path / "0/3.mid")
    (tmp_path / "2/25.mid").write_bytes(b"RIFF")
    (tmp_path / "2/26.mid").unlink()
    (tmp_path / "2/26.mid").symlink_to("nowhere")
    with pytest.warns(UserWarning, match="skipped 3 of 30 files") as warned:
        pieces = data.read_folder(tmp_path, data.read_midi, ".mid")
    _, *lines = str(warned[0].message).splitlines()
    assert [line.split(": ")[0].split("/")[-1] for line in lines] == ["3.mid", "25.mid", "26.mid"]
    readable = [number for number in range(30) if number not in (3, 25, 26)]
    assert [notes[0].key for notes in pieces] == readable
    with pytest.warns(UserWarning, match="skipped 3 of 30 files"):
        pieces, labels, classes = data.read_labeled_folder(tmp_path, data.read_midi, ".mid")
    assert [notes[0].key for notes in pieces] == readable
    assert labels == [number // 10 for number in readable]
    assert classes == ("0", "1", "2")
    write_drums(tmp_path / "1/11.mid")
    assert_input_error(
        lambda path: data.read_folder(path, data.read_midi, ".mid"),
        tmp_path,
        "4 of 30 files are unreadable; at most 10%",
        "3.mid: contains no notes",
        "and 1 more",
    )


@pytest.mark.parametrize(("unreadable", "at_least"), [([0, 1], 1), ([0], 2), ([0, 1], 2)])
def test_a_class_needs_readable_files(tmp_path: Path, unreadable: list[int], at_least: int) -> None:
    for number in range(40):
        path = tmp_path / ("few" if number < 2 else "many") / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        data.write_wav(path, [0.5], 8000)
    for number in unreadable:
        (tmp_path / "few" / f"{number}.wav").write_bytes(b"RIFX")

    def load(path: Path) -> Any:
        return data.read_labeled_folder(path, data.read_wav, ".wav", at_least=at_least)

    assert_input_error(
        load, tmp_path, f"{len(unreadable)} of 40", f"at least {at_least} of each class", "RIFX is"
    )


def test_the_error_for_a_folder_names_a_missing_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.write_midi(tmp_path / "a.mid", [Note(0, 1, 1)])
    monkeypatch.setitem(sys.modules, "mido", None)
    assert_input_error(
        lambda path: data.read_folder(path, data.read_midi, ".mid"), tmp_path, "pip install"
    )


def test_invalid_folders_of_classes(tmp_path: Path) -> None:
    def load(path: Path) -> Any:
        return data.list_labeled_files(path, ".wav")

    assert_input_error(load, tmp_path / "none", "expected a folder")
    assert_input_error(
        load, tmp_path, "expected at least two subfolders, one per class; found none"
    )
    (tmp_path / "yes").mkdir()
    assert_input_error(load, tmp_path, "one per class; found only yes")
    (tmp_path / "no").mkdir()
    assert_input_error(load, tmp_path, "no: contains no file whose name ends in .wav")
    (tmp_path / "no" / "1.wav").write_bytes(b"x")
    assert_input_error(load, tmp_path, "no: expected at least 2 examples per class")

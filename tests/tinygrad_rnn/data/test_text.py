"""Texts: reading, splitting, batching and tokenization."""

import gzip
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import data
from tinygrad_rnn.data import StatefulBatches, TextCorpus, Vocabulary, evaluation_streams
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host  # texts and ids are on the host


def file(folder: Path, content: bytes, name: str = "a.txt") -> str:
    """Write a file and return its path."""
    path = folder / name
    path.write_bytes(content)
    return str(path)


# --- reading --------------------------------------------------------------------------------------


def test_the_default_text_is_pythons_documentation() -> None:
    corpus = TextCorpus.default()
    assert 'The "while" statement' in corpus.text
    assert 400_000 < len(corpus.text) < 1_000_000
    assert corpus.text == TextCorpus.default().text


def test_without_the_documentation_the_default_is_the_librarys_docstrings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    corpus = TextCorpus.default()
    assert "Heap queue algorithm" in corpus.text
    assert "docstrings" in corpus.source
    assert len(corpus.text) > 400_000


def test_files_are_concatenated_in_order(tmp_path: Path) -> None:
    paths = [file(tmp_path, b"one", "z"), file(tmp_path, b"two", "a")]
    corpus = TextCorpus.from_files(paths)
    assert corpus.text == "onetwo"
    assert corpus.source == ", ".join(paths)
    assert corpus.vocabulary == Vocabulary("enotw")
    assert TextCorpus.from_files(paths[0]) == TextCorpus.from_files(Path(paths[0]))
    assert TextCorpus.from_files(paths[0]).text == "one"


def test_a_dash_is_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO("é".encode())))
    assert TextCorpus.from_files([file(tmp_path, b"caf"), "-"]).text == "café"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_byte_order_marks_and_line_ends_are_normalized(tmp_path: Path, encoding: str) -> None:
    content = "\ufeffa\r\nb\rc\n\r\n".encode(encoding)
    assert TextCorpus.from_files([file(tmp_path, content)], encoding).text == "a\nb\nc\n\n"


def test_other_encodings_can_be_given(tmp_path: Path) -> None:
    assert TextCorpus.from_files([file(tmp_path, b"caf\xe9")], "latin-1").text == "café"


def test_the_error_for_invalid_utf8_contains_the_byte_offset(tmp_path: Path) -> None:
    path = file(tmp_path, "\ufeffé".encode() + b"\xff!")
    with pytest.raises(InputError, match=r"not utf-8 at byte 5 .*encoding=") as error:
        TextCorpus.from_files([path])
    assert path in str(error.value)
    assert "--" not in str(error.value)  # only commands name their options


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("abc".encode("utf-16"), "encoding='utf-16'"),
        ("abc".encode("utf-32"), "encoding='utf-32'"),
        ("abc".encode("utf-16-le"), "encoding='utf-16-le'"),
        ("abc".encode("utf-16-be"), "encoding='utf-16-be'"),
        (b"ab\ncd\0e", "character 5 in line 2 is NUL"),
        ("书".encode("gb18030"), "pass its encoding"),
    ],
)
def test_other_encodings_are_recognized(tmp_path: Path, content: bytes, hint: str) -> None:
    with pytest.raises(InputError, match=re.escape(hint)) as error:
        TextCorpus.from_files([file(tmp_path, content)])
    assert "--" not in str(error.value)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a"])
def test_gzip_files_are_read_with_any_name(tmp_path: Path, name: str) -> None:
    path = file(tmp_path, gzip.compress("é\r\nb".encode()) + gzip.compress(b"c"), name)
    assert TextCorpus.from_files([path, path]).text == "é\nbcé\nbc"
    assert data.read_text(path, "latin-1") == "Ã©\nbc"


def test_standard_input_can_be_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(gzip.compress(b"abc")))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert TextCorpus.from_files("-").text == "abc"
    stdin.buffer = io.BytesIO(b"a\xff")
    with pytest.raises(InputError, match="standard input: not utf-8 at byte 1"):
        TextCorpus.from_files("-")


@pytest.mark.parametrize("encoding", ["klingon", "hex", "a\0b", ""])
def test_the_error_names_an_unknown_encoding(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(InputError, match=re.escape(repr(encoding))):
        TextCorpus.from_files([file(tmp_path, b"abc")], encoding)


def test_the_error_names_unreadable_files(tmp_path: Path) -> None:
    reasons = {
        str(tmp_path / "nowhere"): "No such file",
        str(tmp_path): "is a directory",
        file(tmp_path, b"") + "/child": "Not a directory",
        file(tmp_path, b""): "the text is empty",
    }
    for path, reason in reasons.items():
        with pytest.raises(InputError, match=re.escape(path) + ": .*" + reason):
            TextCorpus.from_files([path])


def test_a_byte_order_mark_alone_is_an_empty_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the text is empty"):
        TextCorpus.from_files([file(tmp_path, "\ufeff".encode())])


# --- splitting ------------------------------------------------------------------------------------


@given(st.integers(40, 2000))
def test_the_parts_are_contiguous_and_complete(length: int) -> None:
    text = "".join(map(chr, range(length)))
    train, valid, test = TextCorpus(text).split()
    assert train + valid + test == text
    assert len(train) == length * 90 // 100
    assert len(valid) == length * 5 // 100


@given(
    batch=st.integers(1, 20),
    seq_len=st.integers(1, 20),
    train=st.integers(1, 98),
    data=st.data(),
)
def test_the_error_for_a_short_text_contains_the_sufficient_length(
    batch: int, seq_len: int, train: int, data: st.DataObject
) -> None:
    valid = data.draw(st.integers(1, 99 - train))
    fractions = (train / 100, valid / 100, (100 - train - valid) / 100)
    with pytest.raises(InputError) as error:
        TextCorpus("a").split(fractions, batch=batch, seq_len=seq_len)
    needed = int(re.search(r"at least (\d+)", str(error.value))[1])

    parts = TextCorpus("a" * needed).split(fractions, batch=batch, seq_len=seq_len)
    minima = (batch * seq_len + 1, 2, 2)
    assert all(len(part) >= n for part, n in zip(parts, minima, strict=True))

    with pytest.raises(InputError, match=f"at least {needed} characters, got {needed - 1}"):
        TextCorpus("a" * (needed - 1)).split(fractions, batch=batch, seq_len=seq_len)


def test_the_error_advises_only_what_helps() -> None:
    with pytest.raises(InputError, match=r"a smaller batch \(now 32\) or seq_len \(now 100\)"):
        TextCorpus("a" * 3000).split(batch=32, seq_len=100)
    with pytest.raises(InputError, match=r"use a longer text$"):
        TextCorpus("a" * 30).split(batch=32, seq_len=100)


def test_empty_parts_require_no_text() -> None:
    assert TextCorpus("abcd").split((1.0, 0.0, 0.0), batch=1, seq_len=3) == ("abcd", "", "")


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (1.5, -0.25, -0.25)])
def test_fractions_sum_to_one(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        TextCorpus("a" * 100).split(fractions)


# --- batches: with ids 0, 1, 2, ..., each character is its position in the text -------------------


@st.composite
def epochs(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Draw (n, batch, seq_len, shift) of a text that fills at least one window."""
    batch, seq_len = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    n = batch * seq_len + 1 + draw(st.integers(0, 200))
    return n, batch, seq_len, draw(st.integers(0, seq_len - 1))


@given(epochs())
def test_windows_continue_the_previous_window(epoch: tuple[int, int, int, int]) -> None:
    n, batch, seq_len, shift = epoch
    windows = list(StatefulBatches(np.arange(n), batch, seq_len, shift))
    *full, (last, _) = windows
    assert all(inputs.shape == (seq_len, batch) for inputs, _ in full)
    assert last.shape[1] == batch
    assert 1 <= len(last) <= seq_len
    stream = np.concatenate([inputs for inputs, _ in windows])
    assert (np.diff(stream, axis=0) == 1).all()
    assert all((targets == inputs + 1).all() for inputs, targets in windows)


@given(epochs())
def test_an_epoch_predicts_every_character(epoch: tuple[int, int, int, int]) -> None:
    n, batch, seq_len, shift = epoch
    batches = StatefulBatches(np.arange(n), batch, seq_len, shift)
    targets = np.concatenate([targets.ravel() for _, targets in batches])
    predicted, times = np.unique(targets, return_counts=True)
    np.testing.assert_array_equal(predicted, np.arange(shift + 1, n))
    assert times.sum() - len(predicted) < batch


@given(epochs())
def test_windows_are_available_by_index(epoch: tuple[int, int, int, int]) -> None:
    n, batch, seq_len, shift = epoch
    batches = StatefulBatches(np.arange(n), batch, seq_len, shift)
    for i, (inputs, targets) in enumerate(batches):
        np.testing.assert_array_equal(batches[i][0], inputs)
        np.testing.assert_array_equal(batches[i][1], targets)
    assert i + 1 == len(batches)
    for index in (-1, len(batches)):
        with pytest.raises(IndexError):
            batches[index]


def test_a_text_that_does_not_fill_a_window_raises() -> None:
    assert len(StatefulBatches(np.arange(13), 3, 4)) == 1
    with pytest.raises(
        InputError, match=r"at least 13 characters, got 12.* batch \(now 3\) or seq_len \(now 4\)"
    ):
        StatefulBatches(np.arange(12), 3, 4)


@pytest.mark.parametrize(("batch", "seq_len"), [(0, 2), (2, 0), (-1, 2)])
def test_the_window_size_must_be_positive(batch: int, seq_len: int) -> None:
    with pytest.raises(
        ValueError, match=f"batch and seq_len must be at least 1, got {batch} and {seq_len}"
    ):
        StatefulBatches(np.arange(100), batch, seq_len)


@pytest.mark.parametrize("shift", [-1, 4])
def test_a_shift_must_be_less_than_a_window(shift: int) -> None:
    with pytest.raises(ValueError, match="shift"):
        StatefulBatches(np.arange(100), 3, 4, shift)


# --- evaluation -----------------------------------------------------------------------------------


@given(n=st.integers(2, 300), streams=st.integers(1, 40), context=st.integers(0, 50))
def test_evaluation_scores_each_character_but_the_first_once(
    n: int, streams: int, context: int
) -> None:
    inputs, targets, scored = evaluation_streams(np.arange(n), streams, context)
    assert inputs.shape == targets.shape == scored.shape
    assert inputs.shape[1] == streams
    assert (targets == inputs + 1).all()
    np.testing.assert_array_equal(np.sort(targets[scored]), np.arange(1, n))


@given(n=st.integers(2, 300), streams=st.integers(1, 40), context=st.integers(0, 50))
def test_evaluation_reads_the_context_before_it_scores(n: int, streams: int, context: int) -> None:
    inputs, _, scored = evaluation_streams(np.arange(n), streams, context)
    for stream, rows in zip(inputs.T, map(np.flatnonzero, scored.T), strict=True):
        if len(rows):
            assert rows[0] == min(context, stream[rows[0]])
            assert (np.diff(stream[: rows[-1] + 1]) == 1).all()


def test_one_character_cannot_be_scored() -> None:
    with pytest.raises(InputError, match="at least 2 characters, got 1"):
        evaluation_streams(np.arange(1), 4, 10)


# --- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("It isn't 7 o'clock.", ["It", "isn't", "7", "o'clock", "."]),
        ("Well-known (2 of 31)?", ["Well-known", "(", "2", "of", "3", "1", ")", "?"]),
        ("我昨天买了12本书。", [*"我昨天买了12本书。"]),
        ("東京 is たかい!", [*"東京", "is", *"たかい", "!"]),
        ("Größe, naïve", ["Größe", ",", "naïve"]),
        (" \n", []),
    ],
)
def test_tokenize(text: str, tokens: list[str]) -> None:
    assert data.tokenize(text) == tokens
    assert data.tokenize(data.detokenize(tokens)) == tokens


def test_detokenize_restores_the_spaces() -> None:
    for text in ("It isn't 7 o'clock.", "(so 12 of 31), why?", "我昨天买了12本书吗？"):
        assert data.detokenize(data.tokenize(text)) == text


@given(st.text("ab1 ,.'我。-", max_size=12))
def test_tokenize_omits_only_spaces(text: str) -> None:
    assert "".join(data.tokenize(text)) == "".join(text.split())

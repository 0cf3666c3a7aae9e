"""Datasets from files: labeled texts, pairs of texts, time series, and the errors of bad files."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_rnn import data
from tinygrad_rnn.data.vocabulary import BEGIN, END, UNKNOWN
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host  # files are processed on the host


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


REVIEWS = {
    "a.csv": 'label,stars,text\ngood,5,"great, really"\nbad,1,not good\n\ngood,4,good\n',
    "a.tsv": "text\tlabel\ngreat, really\tgood\nnot good\tbad\ngood\tgood\n",
    "a.jsonl": '{"text": "great, really", "label": "good"}\n{"label": "bad", "text": "not good"}\n'
    '\n{"text": "good", "label": "good", "more": [1]}',
    "BOM.CSV": '\ufefftext , label\r\n" great, really",good\r\nnot good,bad\r\ngood,good',
}


@pytest.mark.parametrize("name", REVIEWS)
def test_labeled_text(tmp_path: Path, name: str) -> None:
    dataset = data.LabeledText.from_file(file(tmp_path, name, REVIEWS[name]))
    assert dataset.classes == ("bad", "good")
    assert dataset.vocabulary.tokens == ("good", "great,", "not", "really")
    assert len(dataset) == 3
    assert [dataset.vocabulary.decode(dataset[i][0]) for i in range(3)] == [
        ["great,", "really"],
        ["not", "good"],
        ["good"],
    ]
    assert [dataset[i][1] for i in range(3)] == [1, 0, 1]
    assert dataset.lengths.tolist() == [2, 2, 1]


def test_test_data_use_the_vocabulary_of_the_training_data(tmp_path: Path) -> None:
    train = data.LabeledText(["a b", "b c"], ["x", "y"])
    path = file(tmp_path, "test.csv", "text,label\nc d,x\n")
    test = data.LabeledText.from_file(path, like=train)
    ids, label = test[0]
    assert (ids.tolist(), label) == ([train[1][0][1], UNKNOWN], 0)
    assert test.vocabulary.decode(ids) == ["c", "?"]
    path = file(tmp_path, "test.csv", "text,label\nc d,x\nc,z\n")
    with pytest.raises(InputError, match=r"test.csv, line 3: unknown class 'z'.* 'x', 'y'"):
        data.LabeledText.from_file(path, like=train)


def test_numeric_labels_are_sorted_by_value(tmp_path: Path) -> None:
    lines = "".join(f'{{"text": "t", "label": {n}}}\n' for n in (10, 2, 1))
    dataset = data.LabeledText.from_file(file(tmp_path, "a.jsonl", lines))
    assert dataset.classes == ("1", "2", "10")


def test_labels_can_be_integers() -> None:
    texts = data.LabeledText(["a", "b", "c"], [10, 9, 10])
    assert texts.classes == ("9", "10")
    assert [label for _, label in texts] == [1, 0, 1]


def test_texts_can_be_split_into_characters() -> None:
    dataset = data.LabeledText(["ab", "ba"], ["x", "y"], text_split=list)
    assert dataset[0][0].tolist() == dataset[1][0].tolist()[::-1] == [4, 5]
    assert data.LabeledText(["b"], ["y"], like=dataset)[0][0].tolist() == [5]


words = st.lists(st.text("abc", min_size=1), max_size=5)


@given(st.lists(words, max_size=5), words)
def test_a_token_vocabulary_decodes_known_tokens(texts: list[list[str]], text: list[str]) -> None:
    vocabulary = data.TokenVocabulary.from_texts(texts)
    known = {word for text in texts for word in text}
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == [word if word in known else "?" for word in text]
    assert vocabulary.decode([BEGIN, *ids, 0, END, 4]) == vocabulary.decode(ids)
    assert vocabulary.encode_target(text).tolist() == [BEGIN, *ids, END]
    assert all(number < len(vocabulary) for number in ids)


def test_parallel_text(tmp_path: Path) -> None:
    columns = "source,target\na b,x\nb,y x\n"
    table = data.ParallelText.from_file(file(tmp_path, "pairs.csv", columns))
    lines = data.ParallelText.from_files(
        file(tmp_path, "a.txt", "a b\nb\n"), file(tmp_path, "b.txt", "x\r\ny x")
    )
    for pairs in (table, lines):
        assert [[ids.tolist() for ids in pairs[i]] for i in range(len(pairs))] == [
            [[4, 5], [BEGIN, 4, END]],
            [[5], [BEGIN, 5, 4, END]],
        ]
        assert pairs.target_vocabulary.decode(pairs[1][1]) == ["y", "x"]
    test = data.ParallelText(["b z"], ["x"], like=table)
    assert test[0][0].tolist() == [5, UNKNOWN]


def test_a_ragged_batch_of_pairs(tmp_path: Path) -> None:
    pairs = data.ParallelText(["a b", "b"], ["x", "y x"])
    ((source, lengths, target, target_lengths),) = data.DataLoader(
        pairs, 2, collate_fn=data.pad_collate, lengths=pairs.lengths
    )
    assert source.tolist() == [[5, 4], [0, 5]]
    assert (lengths.tolist(), target_lengths.tolist()) == ([1, 2], [4, 3])
    assert target.tolist() == [[BEGIN, BEGIN], [5, 4], [4, END], [END, 0]]


SERIES = "day,temperature,wind\n1,10.5,3\n2,-1e1,4\n3,12,5\n4,13,6\n"


def test_time_series(tmp_path: Path) -> None:
    path = file(tmp_path, "weather.csv", SERIES)
    series = data.TimeSeries.from_file(path, ["wind", "temperature"])
    assert series.columns == ("wind", "temperature")
    assert series.values.tolist() == [[3, 10.5], [4, -10], [5, 12], [6, 13]]
    assert series.values.dtype == np.float64
    assert data.TimeSeries.from_file(path).columns == ("day", "temperature", "wind")
    assert data.TimeSeries.from_file(path, "wind").values.tolist() == [[3], [4], [5], [6]]
    past, future = series.split(0.5)
    np.testing.assert_array_equal(np.concatenate((past.values, future.values)), series.values)
    scaled = series.scaled(past)
    np.testing.assert_allclose(scaled.values[:2].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.values[:2].std(0), 1, rtol=1e-6)
    assert scaled.values.dtype == series.windows(2).tensors[0].dtype == np.float32
    constant = data.TimeSeries(np.full((300, 1), 0.1), ("c",))
    assert constant.values.std() > 0  # by rounding
    np.testing.assert_allclose(constant.scaled(constant).values, 0, atol=1e-12)


@pytest.mark.parametrize("columns", [("a",), ("b", "a")])
def test_scaling_requires_equal_columns(columns: tuple[str, ...]) -> None:
    series = data.TimeSeries(np.ones((3, len(columns))), columns)
    with pytest.raises(ValueError, match=r"expected the columns of `like`, \('a', 'b'\)"):
        series.scaled(like=data.TimeSeries(np.ones((3, 2)), ("a", "b")))


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(8, 20))
def test_windows_of_a_series(steps: int, horizon: int, every: int, n: int) -> None:
    values = np.arange(2.0 * n).reshape(n, 2)
    windows = data.TimeSeries(values, ("a", "b")).windows(steps, horizon, every)
    starts = range(0, n - steps - horizon + 1, every)
    assert len(windows) == len(starts)
    for i, start in enumerate(starts):
        past, future = windows[i]
        np.testing.assert_array_equal(past.numpy(), values[start : start + steps])
        np.testing.assert_array_equal(
            future.numpy(), values[start + steps : start + steps + horizon]
        )


INVALID = {
    "empty": ("a.csv", "  \n", r"a.csv: the file is empty"),
    "header only": ("a.csv", "text,label\n", "expected rows after the header"),
    "other columns": (
        "a.csv",
        "text,class\na,b\n",
        r"line 1: .*expected a column 'label', found 'text', 'cl",
    ),
    "semicolons": ("a.csv", "text;label\na;b\n", r"line 1: .*separated by ';'"),
    "twice": ("a.csv", "text,label,label\na,b,c\n", r"line 1: two columns have the same name"),
    "a cell too many": (
        "a.csv",
        "text,label\na,b\n\nc, d,e\n",
        r"line 4: expected 2 cells .*, found 3",
    ),
    "a cell too few": ("a.tsv", "text\tlabel\na\n", r"line 2: expected 2 cells .*, found 1"),
    "an open quote": ("a.csv", 'text,label\na,b\n"c,d\n', r"line 3: unexpected end of data"),
    "a quotation": ("a.csv", 'text,label\n"a" b,c\n', r"line 2: .*inside it must be doubled"),
    "a quoted header": ("a.tsv", '"text"\t"label"\n"a"\t"b"\n', r"TSV has no quoting: save"),
    "a quoted tab": ("a.tsv", 'text\tlabel\n"a\tb"\tc\n', r"line 2: expected 2 cells.*no quoting"),
    "a line break": (
        "a.csv",
        'text,label\n"a\nb",x\nc,d,e\n',
        r"line 4: expected 2 cells .*, found 3",
    ),
    "no text": ("a.csv", "text,label\na,b\n ,c\n", r"line 3: the text is empty"),
    "no label": ("a.csv", "text,label\na,b\nc,\n", r"line 3: the label is empty"),
    "latin 1": ("a.csv", "text,label\na,b\nä,b\n".encode("latin-1"), r"in line 3 .*encoding"),
    "not JSON": (
        "a.jsonl",
        '{"text": "a", "label": 1}\n{"text"\n',
        r"line 2 .*not JSON.*one JSON object per line",
    ),
    "nested": ("a.jsonl", '{"text": "a", "label": ' + "[" * 9999, r"line 1 .*nests more than"),
    "not a text": (
        "a.jsonl",
        '{"text": "a", "label": ' + "[" * 90 + "]" * 90 + "}",
        r"'label' is \[\[\[\[\[\[\[\.\.\.\]\]\]\]\]\]\]; expected a text or number$",
    ),
    "no object": ("a.jsonl", '["a", "b"]\n', r"line 1: expected an object"),
    "no fields": ("a.jsonl", "{}\n", r"line 1: expected an object with named fields"),
    "no field": ("a.jsonl", '{"text": "a"}\n', r"line 1: the field 'label' is missing"),
    "null": ("a.jsonl", '{"text": "a", "label": null}\n', r"line 1: the field 'label' is None"),
    "unknown suffix": ("a.xls", "text,label\na,b\n", r"ends in .csv, .tsv, .jsonl"),
    "no table": (
        "a.txt.gz",
        gzip.compress(b"a"),
        r"ends in .csv, .tsv, .jsonl, optionally followed by .gz",
    ),
    "a line break in a header": ("a.csv", 'text,"la\nbel"\na,b\n', r"found 'text', 'la\\nbel'"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid_files(tmp_path: Path, case: str) -> None:
    name, content, message = INVALID[case]
    with pytest.raises(InputError, match=message) as error:
        data.LabeledText.from_file(file(tmp_path, name, content))
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a,b\n1,2\n3,four\n",
            r"line 3: expected a number below 1e100 in b, got 'four'.*columns= .*'a', 'b'",
        ),
        ("a,b\n1,2\n,4\n", r"line 3: expected a number below 1e100 in a, got ''"),
        ("0.5,2\n0.6,3\n", r"first line must contain the names of the columns"),
        ("a,b\n1,2\n1,nan\n", r"in b, got 'nan'"),
        ("a,b\n1,2\ninf,x\n", r"in a, got 'inf'"),
        ("a,b\n1,1e100\n1,x\n", r"line 2: .* in b, got '1e100'"),
        ("a,b\n1,2\n1,-1e300\n", r"line 3: expected a number below 1e100 in b, got '-1e300'"),
    ],
)
def test_cells_of_a_series_must_be_numbers(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        data.TimeSeries.from_file(file(tmp_path, "a.csv", content))


QUOTES = [
    'she said "no\tno',
    '"a\tb',
    'a\t"b',
    '"a"\tb',
    'a ""b"\tc"',
    '"""\t"',
]
"""Rows of a TSV file that would be merged or invalid if quotation marks were special."""


@pytest.mark.parametrize("suffix", [".tsv", ".TSV", ".tsv.gz"])
@pytest.mark.parametrize("row", QUOTES)
def test_tsv_has_no_quoting(tmp_path: Path, row: str, suffix: str) -> None:
    rows = ["x\ty", row, "x\tz", row, "x\tw"]
    content = "\n".join(["{}\t{}", *rows]).encode()
    cells = [line.split("\t") for line in rows]

    def write(*header: str) -> Path:
        text = content.decode().format(*header).encode()
        return file(tmp_path, f"a{suffix}", gzip.compress(text) if "gz" in suffix else text)

    pairs = data.ParallelText.from_file(write("source", "target"))
    assert len(pairs) == 5
    decoded = [
        (pairs.source_vocabulary.decode(a), pairs.target_vocabulary.decode(b)) for a, b in pairs
    ]
    assert decoded == [(a.split(), b.split()) for a, b in cells]
    texts = data.LabeledText.from_file(write("text", "label"))
    assert [texts.classes[n] for _, n in texts] == [b for _, b in cells]
    numbers = "\n".join(["note\tn", *(f"{a}\t{k}" for k, (a, _) in enumerate(cells))])
    series = data.TimeSeries.from_file(file(tmp_path, "n.tsv", numbers), "n")
    assert series.values.tolist() == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".CSV.GZ"])
@pytest.mark.parametrize("cell", ["a\nb", 'a\n"b"\n\nc', "\ta,\n,", "a\n" * 70_000])
def test_a_quoted_cell_of_a_csv_spans_lines(tmp_path: Path, cell: str, suffix: str) -> None:
    quoted = cell.replace('"', '""')
    text = f'text,label\n"{quoted}",x\n"b",y\n'.encode()
    path = file(tmp_path, f"a{suffix}", gzip.compress(text) if "gz" in suffix.lower() else text)
    dataset = data.LabeledText.from_file(path)
    assert [dataset.vocabulary.decode(ids) for ids, _ in dataset] == [cell.split(), ["b"]]


@pytest.mark.parametrize(
    ("name", "content", "delimiter"),
    [
        ("a.csv", "a;b\n1;2\n", "';'"),
        ("a.csv", "a;b\n1,5;2,5\n", "';'"),
        ("a.csv", "a\tb\n1\t2\n", r"'\t'"),
        ("a.csv", "a|b\n1|2\n", "'|'"),
        ("a.tsv", "a,b\n1,2\n", "','"),
        ("a.tsv", "a;b\n1;2\n", "';'"),
    ],
)
def test_errors_name_another_delimiter(
    tmp_path: Path, name: str, content: str, delimiter: str
) -> None:
    path = file(tmp_path, name, content)
    for columns in (None, "a"):
        with pytest.raises(InputError) as error:
            data.TimeSeries.from_file(path, columns)
        assert f"the columns seem to be separated by {delimiter}" in str(error.value)


def test_invalid_pairs_of_texts(tmp_path: Path) -> None:
    one, two = file(tmp_path, "a.txt", "a\nb\n"), file(tmp_path, "b.txt", "x\n")
    with pytest.raises(InputError, match=r"a.txt has 2 lines and .*b.txt has 1"):
        data.ParallelText.from_files(one, two)
    with pytest.raises(InputError, match=r"b.txt, line 2: the text is empty"):
        data.ParallelText.from_files(one, file(tmp_path, "b.txt", "x\n\n"))
    with pytest.raises(InputError, match=r"line 3: the target is empty"):
        data.ParallelText.from_file(file(tmp_path, "p.csv", "source,target\na,b\nc,\n"))
    with pytest.raises(
        InputError, match=r"expected a column 'source', found 'a', 'b' .*first line must"
    ):
        data.ParallelText.from_file(file(tmp_path, "p.csv", "a,b\n"))


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: data.LabeledText(["a"], []), "1 texts and 0 labels"),
        (lambda: data.ParallelText([], []), "0 sources and 0 targets"),
        (lambda: data.TimeSeries(np.ones((3, 1)), ("a",)).windows(3), "requires 4 steps, got 3"),
        (lambda: data.TimeSeries(np.ones((3, 1)), ("a",)).windows(0), "must be at least 1"),
        (lambda: data.TimeSeries(np.ones((3, 1)), ("a",)).split(0.1), "leaves a part empty"),
    ],
)
def test_invalid_arguments_raise(make: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        make()


def test_the_error_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.csv: No such file"):
        data.LabeledText.from_file(tmp_path / "none.csv")


def folders(root: Path, texts: dict[str, list[str | bytes]]) -> Path:
    """Create one folder per class, with one file per text."""
    for name, contents in texts.items():
        (root / name).mkdir(parents=True)
        for number, content in enumerate(contents):
            file(root / name, f"{number}.txt", content)
    return root


def test_the_subfolders_are_the_classes(tmp_path: Path) -> None:
    root = folders(tmp_path / "reviews", {"pos": ["good good\n", "fine"], "neg": ["bad"]})
    file(root, "README.txt", "not a class")
    file(root / "pos", "notes.md", "not a text")
    dataset = data.LabeledText.from_folders(root)
    assert dataset.classes == ("neg", "pos")
    assert dataset.vocabulary.tokens == ("bad", "fine", "good")
    assert [(ids.tolist(), label) for ids, label in dataset] == [([4], 0), ([6, 6], 1), ([5], 1)]
    more = folders(tmp_path / "test", {"pos": ["good luck"], "neg": ["bad"]})
    _, example = data.LabeledText.from_folders(more, like=dataset)
    assert (example[0].tolist(), example[1]) == ([6, UNKNOWN], 1)
    other = folders(tmp_path / "other", {"odd": ["good"], "pos": ["good"]})
    with pytest.raises(InputError, match=r"unknown class 'odd'; the classes are 'neg', 'pos'"):
        data.LabeledText.from_folders(other, like=dataset)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, r"root: expected at least two subfolders, one per class; found none"),
        ({"pos": ["a"]}, r"root: expected at least two subfolders, .*; found only pos"),
        ({"neg": [], "pos": ["a"]}, r"neg: contains no file whose name ends in .txt"),
        ({"neg": ["a"], "pos": ["a", " \n"]}, r"pos/1.txt: the text is empty"),
        ({"neg": ["a"], "pos": [b"a\nb\xff"]}, r"pos/0.txt: not utf-8 at byte 3 in line 2"),
        (
            {"neg": ["a"] * 30, "pos": ["", "\0"]},
            r"2 of 32 files are unreadable.* at least 1 of each class",
        ),
        ({"neg": ["a"] * 9, "pos": ["a"] * 8 + ["", "\0"]}, r"2 of 19 files .*pos/8.txt: the text"),
    ],
)
def test_invalid_folders(tmp_path: Path, texts: dict[str, list[str | bytes]], message: str) -> None:
    root = folders(tmp_path / "root", texts)
    root.mkdir(exist_ok=True)
    with pytest.raises(InputError, match=message) as error:
        data.LabeledText.from_folders(root)
    assert "\n" not in str(error.value)


def test_a_file_is_not_a_folder_of_classes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.csv: expected a folder"):
        data.LabeledText.from_folders(file(tmp_path, "a.csv", "text,label\na,b\n"))
    with pytest.raises(InputError, match=r"none: expected a folder"):
        data.LabeledText.from_folders(tmp_path / "none")


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


@pytest.mark.parametrize(
    ("cell", "allowed"),
    [
        *((cell, True) for cell in ("9.9e99", "-9.9e99", "1e-320", "0")),
        *(
            (cell, False)
            for cell in ("1e100", "-1.01e100", "1e150", "-1e308", "inf", "nan", "1e999")
        ),
    ],
)
def test_numbers_of_a_series_have_a_finite_scale(tmp_path: Path, cell: str, allowed: bool) -> None:
    path = file(tmp_path, "a.csv", f"a\n1\n{cell}\n-2\n")
    if allowed:
        mean, std = data.TimeSeries.from_file(path).scale()
        assert np.isfinite(mean).all()
        assert np.isfinite(std).all()
        assert (std > 0).all()
    else:
        with pytest.raises(InputError, match=r"line 3: expected a number below 1e100 in a"):
            data.TimeSeries.from_file(path)


@pytest.mark.parametrize(("steps", "horizon"), [(1, 1), (3, 2), (4, 1)])
def test_a_series_can_fill_exactly_one_window(steps: int, horizon: int) -> None:
    values = np.arange(float(steps + horizon))[:, None]
    windows = data.TimeSeries(values, ("a",)).windows(steps, horizon)
    assert len(windows) == 1
    assert np.concatenate([part.tolist() for part in windows[0]]).tolist() == values.tolist()
    with pytest.raises(InputError, match="one window of"):
        data.TimeSeries(values[1:], ("a",)).windows(steps, horizon)

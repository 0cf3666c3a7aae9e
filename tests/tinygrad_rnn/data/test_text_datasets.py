"""Labeled texts and pairs of texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import write_file

from tinygrad_rnn import data
from tinygrad_rnn.data.vocabulary import BEGIN, END, UNKNOWN
from tinygrad_rnn.errors import InputError

pytestmark = pytest.mark.host  # files are processed on the host

REVIEWS = {
    "a.csv": 'label,stars,text\ngood,5,"great, really"\nbad,1,not good\n\ngood,4,good\n',
    "a.tsv": "text\tlabel\ngreat, really\tgood\nnot good\tbad\ngood\tgood\n",
    "a.jsonl": '{"text": "great, really", "label": "good"}\n{"label": "bad", "text": "not good"}\n'
    '\n{"text": "good", "label": "good", "more": [1]}',
    "BOM.CSV": '\ufefftext , label\r\n" great, really",good\r\nnot good,bad\r\ngood,good',
}


@pytest.mark.parametrize("name", REVIEWS)
def test_labeled_text(tmp_path: Path, name: str) -> None:
    dataset = data.LabeledText.from_file(write_file(tmp_path, name, REVIEWS[name]))
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
    path = write_file(tmp_path, "test.csv", "text,label\nc d,x\n")
    test = data.LabeledText.from_file(path, like=train)
    ids, label = test[0]
    assert (ids.tolist(), label) == ([train[1][0][1], UNKNOWN], 0)
    assert test.vocabulary.decode(ids) == ["c", "?"]
    path = write_file(tmp_path, "test.csv", "text,label\nc d,x\nc,z\n")
    with pytest.raises(InputError, match=r"test.csv, line 3: unknown class 'z'.* 'x', 'y'"):
        data.LabeledText.from_file(path, like=train)


def test_numeric_labels_are_sorted_by_value(tmp_path: Path) -> None:
    lines = "".join(f'{{"text": "t", "label": {n}}}\n' for n in (10, 2, 1))
    dataset = data.LabeledText.from_file(write_file(tmp_path, "a.jsonl", lines))
    assert dataset.classes == ("1", "2", "10")


def test_labels_can_be_integers() -> None:
    texts = data.LabeledText(["a", "b", "c"], [10, 9, 10])
    assert texts.classes == ("9", "10")
    assert [label for _, label in texts] == [1, 0, 1]


def test_texts_can_be_split_into_characters() -> None:
    dataset = data.LabeledText(["ab", "ba"], ["x", "y"], text_split=list)
    assert dataset[0][0].tolist() == dataset[1][0].tolist()[::-1] == [4, 5]
    assert data.LabeledText(["b"], ["y"], like=dataset)[0][0].tolist() == [5]


def test_parallel_text(tmp_path: Path) -> None:
    columns = "source,target\na b,x\nb,y x\n"
    table = data.ParallelText.from_file(write_file(tmp_path, "pairs.csv", columns))
    lines = data.ParallelText.from_files(
        write_file(tmp_path, "a.txt", "a b\nb\n"), write_file(tmp_path, "b.txt", "x\r\ny x")
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


def test_invalid_pairs_of_texts(tmp_path: Path) -> None:
    one, two = write_file(tmp_path, "a.txt", "a\nb\n"), write_file(tmp_path, "b.txt", "x\n")
    with pytest.raises(InputError, match=r"a.txt has 2 lines and .*b.txt has 1"):
        data.ParallelText.from_files(one, two)
    with pytest.raises(InputError, match=r"b.txt, line 2: the text is empty"):
        data.ParallelText.from_files(one, write_file(tmp_path, "b.txt", "x\n\n"))
    with pytest.raises(InputError, match=r"line 3: the target is empty"):
        data.ParallelText.from_file(write_file(tmp_path, "p.csv", "source,target\na,b\nc,\n"))
    with pytest.raises(
        InputError, match=r"expected a column 'source', found 'a', 'b' .*first line must"
    ):
        data.ParallelText.from_file(write_file(tmp_path, "p.csv", "a,b\n"))


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
            write_file(root / name, f"{number}.txt", content)
    return root


def test_the_subfolders_are_the_classes(tmp_path: Path) -> None:
    root = folders(tmp_path / "reviews", {"pos": ["good good\n", "fine"], "neg": ["bad"]})
    write_file(root, "README.txt", "not a class")
    write_file(root / "pos", "notes.md", "not a text")
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
        data.LabeledText.from_folders(write_file(tmp_path, "a.csv", "text,label\na,b\n"))
    with pytest.raises(InputError, match=r"none: expected a folder"):
        data.LabeledText.from_folders(tmp_path / "none")

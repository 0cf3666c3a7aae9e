"""Errors of the command line: one line on standard error, exit code 2, and no changed files.

Each test runs the command in a separate process.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command import COMMAND, ENVIRONMENT, SMALL, TEXT, contents, fails, is_one_line, run, succeeds
from safetensors.numpy import save_file

pytestmark = pytest.mark.host


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with texts and a trained run, which tests must not change."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "text.txt").write_text(TEXT)
    (folder / "empty.txt").write_text("")
    (folder / "short.txt").write_text("too short")
    (folder / "latin.txt").write_bytes(b"the lazy caf\xe9")
    (folder / "folder").mkdir()
    (folder / "folder" / "precious.txt").write_text("keep")
    succeeds("train", "text.txt", *SMALL, "--max-steps", 5, "--out", "done", cwd=folder)
    return folder


@pytest.fixture
def copy(work_dir: Path, tmp_path: Path) -> Path:
    """Return a copy of `work_dir` that a test may change."""
    return Path(shutil.copytree(work_dir, tmp_path / "copy"))


ARGUMENTS = [
    ("trian", ["'trian'", "did you mean train?"]),
    ("frobnicate", ["'frobnicate'", "train, sample, eval, demo, predict, info"]),
    ("--frobnicate", ["--frobnicate"]),
    ("train --hiden 64", ["--hiden", "did you mean --hidden?"]),
    ("train --hid 64", ["--hid"]),
    ("train text.txt -z", ["-z"]),
    ("train --hidden", ["--hidden", "expected one argument"]),
    ("train --resume=yes --out done", ["--resume", "yes"]),
    ("sample", ["RUN"]),
    ("sample done extra", ["'extra'"]),
    ("sample done --lenght 5", ["--lenght", "did you mean --length?"]),
    ("eval", ["RUN"]),
    ("info now", ["'now'"]),
    ("sample -x", ["unknown option -x"]),
    ("eval --encodign latin-1", ["--encodign", "did you mean --encoding?"]),
    ("sample -- -x", ["run -x does not exist"]),
    ("train text.txt -- -missing.txt", ["-missing.txt", "No such file"]),
]
TEXTS = [
    ("train missing.txt", ["missing.txt", "No such file"]),
    ("train text.txt missing.txt", ["missing.txt"]),
    ("train text.txt/below.txt", ["text.txt/below.txt"]),
    ("train folder", ["folder", "directory"]),
    ("train empty.txt", ["empty.txt", "empty"]),
    ("train short.txt", ["short.txt", "characters, got 9"]),
    ("train text.txt --batch 4 --seq-len 8000", ["text.txt", "got 2880", "--seq-len"]),
    ("train text.txt --batch 8000 --seq-len 4", ["text.txt", "got 2880", "--batch"]),
    ("train latin.txt", ["latin.txt", "byte 12", "--encoding"]),
    ("train text.txt --encoding utf-99", ["utf-99"]),
    ("train --encoding latin-1", ["--encoding", "TEXT"]),
    ("train -", ["empty"]),
    ("eval done --encoding latin-1", ["--encoding", "TEXT"]),
    ("eval done missing.txt", ["missing.txt"]),
    ("eval done latin.txt", ["latin.txt", "byte 12", "--encoding"]),
    ("eval done latin.txt --encoding latin-1", ["latin.txt", "'é'", "U+00E9"]),
    ("eval done empty.txt", ["empty.txt", "empty"]),
]
VALUES = [
    ("train text.txt --model elman", ["--model elman", "lstm"]),
    ("train text.txt --hidden 0", ["--hidden 0", "from 1 to 1,000,000"]),
    ("train text.txt --hidden 1.5", ["--hidden 1.5", "an integer from"]),
    ("train text.txt --layers -1", ["--layers -1", "from 1 to 1,000"]),
    ("train text.txt --embed many", ["--embed many", "an integer from"]),
    ("train text.txt --dropout 1", ["--dropout 1", "< 1"]),
    ("train text.txt --batch 0", ["--batch 0"]),
    ("train text.txt --seq-len 0", ["--seq-len 0"]),
    ("train text.txt --epochs 0", ["--epochs 0"]),
    ("train text.txt --max-steps 0", ["--max-steps 0"]),
    ("train text.txt --max-seconds 0", ["--max-seconds 0"]),
    ("train text.txt --lr nan", ["--lr nan", "> 0"]),
    ("train text.txt --lr inf", ["--lr inf"]),
    ("train text.txt --lr-decay 1.1", ["--lr-decay 1.1", "<= 1"]),
    ("train text.txt --clip 0", ["--clip 0"]),
    ("train text.txt --seed -1", ["--seed -1"]),
    ("train text.txt --seed 9223372036854775808", ["--seed 9223372036854775808"]),
    ("train text.txt --device gpu", ["--device gpu", "cpu, cuda or cuda:N"]),
    ("train text.txt --hidden 99999999999999999999", ["--hidden 9", "1,000,000"]),
    ("train text.txt --embed 1000001", ["--embed 1000001", "1,000,000"]),
    ("train text.txt --batch 1000001", ["--batch 1000001", "1,000,000"]),
    ("train text.txt --seq-len 1000001", ["--seq-len 1000001", "1,000,000"]),
    ("train text.txt --layers 1000000000", ["--layers 1000000000", "from 1 to 1,000"]),
    ("train text.txt --threads 1025", ["--threads 1025", "1,024"]),
    ("train text.txt --epochs 1000000000001", ["--epochs 1", "1,000,000,000,000"]),
    ("train text.txt --max-steps 1000000000001", ["--max-steps 1", "1,000,000,000,000"]),
    ("sample done --length 0", ["--length 0"]),
    ("sample done --temperature -1", ["--temperature -1"]),
    ("sample done --top-k 0", ["--top-k 0"]),
    ("sample done --top-p 0", ["--top-p 0", "> 0 and <= 1"]),
    ("sample done --top-p 1.5", ["--top-p 1.5"]),
    ("sample done --seed x", ["--seed x"]),
    ("sample done --prompt Ünknown", ["'Ü'", "U+00DC", "--prompt"]),
]
FOLDERS = [
    ("train text.txt --out done", ["done", "--resume", "--overwrite"]),
    ("train text.txt --out folder", ["folder", "--resume", "--overwrite"]),
    ("train text.txt --out text.txt", ["text.txt", "--overwrite"]),
    ("train text.txt --out text.txt/run", ["cannot create text.txt/run"]),
    ("train text.txt --out folder --overwrite", ["folder is not a run"]),
    ("train text.txt --out text.txt --overwrite", ["text.txt is not a folder"]),
    ("train text.txt --overwrite", ["--overwrite needs --out"]),
    ("train --resume --overwrite --out done", ["--resume and --overwrite"]),
    ("train --resume", ["--resume needs --out"]),
    ("train --resume --out nowhere", ["run nowhere does not exist"]),
    ("train --resume --out folder", ["folder is not a run"]),
    ("train --resume --out done --hidden 16", ["--hidden 16", "(the run has 8)"]),
    ("train --resume --out done --lr 1 --seed 3", ["--lr 1.0", "--seed 3 (the run has 0)"]),
    ("train --resume --out done --max-steps 4", ["--max-steps 4", "(the run has 5)", "higher"]),
    ("train --resume --out done --max-seconds 9", ["--max-seconds 9", "(the run has no limit)"]),
    ("train latin.txt --encoding latin-1 --resume --out done", ["latin.txt", "text.txt"]),
    ("sample nowhere", ["run nowhere does not exist"]),
    ("sample folder", ["folder is not a run"]),
    ("sample text.txt", ["text.txt is not a run"]),
    ("eval nowhere", ["run nowhere does not exist"]),
]


@pytest.mark.parametrize(("line", "phrases"), ARGUMENTS + TEXTS + VALUES + FOLDERS)
def test_invalid_input_is_a_one_line_error(work_dir: Path, line: str, phrases: list[str]) -> None:
    fails(*line.split(), cwd=work_dir, phrases=phrases)


@pytest.mark.parametrize("command", [["train"], ["eval", "done"]])
def test_an_empty_file_name_is_an_error(work_dir: Path, command: list[str]) -> None:
    fails(*command, "", cwd=work_dir, phrases=["expected the name of a text file"])


@pytest.mark.skipif(sys.platform == "win32", reason="standard input closes differently")
@pytest.mark.parametrize("command", [["train"], ["eval", "done"]])
def test_closed_standard_input_is_an_error(work_dir: Path, command: list[str]) -> None:
    phrases = ["standard input is closed"]
    fails(*command, "-", cwd=work_dir, phrases=phrases, preexec_fn=lambda: os.close(0))


def test_an_unreadable_file_is_an_error(copy: Path) -> None:
    secret = copy / "secret.txt"
    secret.write_text(TEXT)
    secret.chmod(0)
    if os.access(secret, os.R_OK):  # root can read every regular file
        secret = Path("/proc/self/mem")
    if not secret.exists():
        pytest.skip("all files are readable")
    process = run("train", secret, cwd=copy)
    assert process.returncode == 2
    assert is_one_line(process.stderr)
    assert f"error: {secret}: " in process.stderr


def test_an_output_folder_that_cannot_be_created_is_an_error(work_dir: Path) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs Linux's /proc")
    phrases = ["cannot create /proc/nothing/here"]
    fails("train", "text.txt", "--out", "/proc/nothing/here", cwd=work_dir, phrases=phrases)


@pytest.mark.skipif(importlib.util.find_spec("cupy") is not None, reason="CuPy is installed")
def test_cuda_without_cupy_names_the_package_to_install(work_dir: Path) -> None:
    phrases = ["--device cuda", "CuPy", "pip install"]
    fails("train", "text.txt", "--device", "cuda", cwd=work_dir, phrases=phrases)


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("model.safetensors", ["sample", "done"]),
        ("last.safetensors", ["train", "--resume", "--out", "done", "--max-steps", "9"]),
        ("config.json", ["sample", "done"]),
    ],
)
@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty", "missing"])
def test_damaged_files_of_a_run_are_errors(
    copy: Path, file: str, command: list[str], damage: str
) -> None:
    path = copy / "done" / file
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-50], "foreign": b"{}{}" * 99}.get(damage, b""))
    if damage == "missing":
        path.unlink()
    fails(*command, cwd=copy, phrases=[file])


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("model.safetensors", ["sample", "done"]),
        ("last.safetensors", ["train", "--resume", "--out", "done", "--max-steps", "9"]),
    ],
)
def test_a_checkpoint_of_another_program_is_an_error(
    copy: Path, file: str, command: list[str]
) -> None:
    save_file({"weight": np.ones((2, 3), np.float32)}, copy / "done" / file)
    fails(*command, cwd=copy, phrases=[f"done/{file}"])


def test_a_checkpoint_of_another_model_is_an_error(copy: Path) -> None:
    larger = ["--hidden", 9, "--embed", 4, "--batch", 4, "--seq-len", 8, "--max-steps", 1]
    succeeds("train", "text.txt", *larger, "--out", "other", cwd=copy)
    for name in ("model.safetensors", "last.safetensors"):
        shutil.copy(copy / "other" / name, copy / "done" / name)
    fails("sample", "done", cwd=copy, phrases=["model.safetensors belongs to another model"])
    phrases = ["last.safetensors belongs to another model", "weight_hh_l0"]
    fails("train", "--resume", "--out", "done", "--epochs", 99, cwd=copy, phrases=phrases)


@pytest.mark.parametrize(
    "line",
    [b'"\xff"', b"[]", b"{}", b"garbage", b'{"event": "update"}', b"", b"[" * 9999, b'{"a":' * 999],
    ids=range(8),
)
def test_damaged_records_are_an_error(copy: Path, line: bytes) -> None:
    """The error is reported before training, not after it."""
    path = copy / "done" / "metrics.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:], b""]))
    phrases = ["done/metrics.jsonl, line 2 is damaged"]
    fails("train", "--resume", "--out", "done", "--max-steps", 9, cwd=copy, phrases=phrases)


@pytest.mark.parametrize("count", [0, 3])
def test_missing_records_are_an_error(copy: Path, count: int) -> None:
    path = copy / "done" / "metrics.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:count]))
    phrases = ["metrics.jsonl is damaged", f"but the file has {count}"]
    fails("train", "--resume", "--out", "done", "--max-steps", 9, cwd=copy, phrases=phrases)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"vocabulary": ""}, "vocabulary"),
        ({"vocabulary": ["ab", "c"]}, "vocabulary"),
        ({"vocabulary": None}, "vocabulary"),
        ({"text": {}}, "'source'"),
        ({"text": {"source": "text.txt", "sha256": ""}}, "'characters'"),
        ({"text": {"source": "text.txt", "characters": 9}}, "'sha256'"),
        ({"text": []}, "'source'"),
        ({"options": {"hiden": 3}}, "'hiden'"),
    ],
)
@pytest.mark.parametrize(
    "command", ["train --resume --max-steps 9 --out done", "sample done", "eval done"]
)
def test_a_damaged_configuration_is_an_error(
    copy: Path, command: str, damage: dict[str, object], message: str
) -> None:
    path = copy / "done" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    fails(*command.split(), cwd=copy, phrases=["done/config.json is damaged: ", message])


def test_a_vocabulary_of_another_text_is_an_error(copy: Path) -> None:
    path = copy / "done" / "config.json"
    config = json.loads(path.read_text())
    config["vocabulary"] = config["vocabulary"][:-1] + "~"
    path.write_text(json.dumps(config))
    phrases = ["done/config.json is damaged", "vocabulary", "done/corpus.txt"]
    fails("eval", "done", cwd=copy, phrases=phrases)
    fails("train", "--resume", "--out", "done", "--max-steps", 9, cwd=copy, phrases=phrases)


def test_a_changed_corpus_is_an_error(copy: Path) -> None:
    (copy / "done" / "corpus.txt").write_text(TEXT + "more")
    phrases = ["corpus.txt has changed"]
    fails("train", "--resume", "--out", "done", "--epochs", 99, cwd=copy, phrases=phrases)


def test_resume_without_a_run_lists_the_existing_runs(copy: Path) -> None:
    for number in (2, 10):
        shutil.copytree(copy / "done", copy / "runs" / f"lstm-{number}")
    fails("train", "--resume", cwd=copy, phrases=["--out", "runs/lstm-2, runs/lstm-10"])


def test_two_processes_cannot_train_the_same_run(copy: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    handle = os.open(copy / "done", os.O_RDONLY)
    fcntl.flock(
        handle, fcntl.LOCK_SH
    )  # a shared lock conflicts with the exclusive lock of training
    for mode in ("--resume", "--overwrite"):
        argv = ["train", "text.txt", mode, "--out", "done"]
        fails(*argv, cwd=copy, phrases=["done is locked: another process is training"])
    os.close(handle)


def test_divergence_names_the_step_and_keeps_the_best_model(copy: Path) -> None:
    argv = ["train", "text.txt", *SMALL, "--lr", "1e38", "--out", "wild"]
    process = run(*argv, cwd=copy)
    assert process.returncode == 2
    assert is_one_line(process.stderr)
    assert "diverged at step " in process.stderr
    assert "--lr 1e+38" in process.stderr
    assert len(succeeds("sample", "wild", "--length", 20, cwd=copy)) == 21


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system with space for the first files of a run, but not for all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_keeps_the_last_checkpoint(
    small_disk: Path, work_dir: Path, tmp_path: Path
) -> None:
    """The error names the file. With free space, the resumed run gives identical results."""
    argv = ["train", work_dir / "text.txt", *SMALL, "--max-steps", 200, "--out"]
    process = run(*argv, "disk/full", cwd=tmp_path)
    assert process.returncode == 2
    assert is_one_line(process.stderr)
    assert "disk/full/" in process.stderr
    assert "No space left" in process.stderr
    assert not list(small_disk.rglob(".*"))
    shutil.copytree(small_disk / "full", tmp_path / "roomy")
    assert len(succeeds("sample", "roomy", "--length", 9, cwd=tmp_path)) == 10
    succeeds("train", "--resume", "--out", "roomy", cwd=tmp_path)
    succeeds(*argv, "undisturbed", cwd=tmp_path)
    name = "model.safetensors"
    assert (tmp_path / "roomy" / name).read_bytes() == (
        tmp_path / "undisturbed" / name
    ).read_bytes()


def test_a_disk_without_space_for_the_first_file_leaves_no_folder(
    small_disk: Path, tmp_path: Path
) -> None:
    (small_disk / "filler").write_bytes(bytes(32 * 1024))
    (tmp_path / "text.txt").write_text(TEXT)
    fails(
        "train", "text.txt", *SMALL, "--out", "disk/none", cwd=tmp_path, phrases=["No space left"]
    )


def test_overwriting_on_a_full_disk_keeps_the_previous_run(copy: Path) -> None:
    """A limit on the size of files, which needs no root, makes the first write fail."""
    resource = pytest.importorskip("resource")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    argv = ["train", "text.txt", *SMALL, "--out", "done", "--overwrite"]
    fails(*argv, cwd=copy, phrases=["done/", "File too large"], preexec_fn=limit)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("argv", ["info", "sample done", "eval done", "train --resume --out done"])
def test_unwritable_output_is_an_error(work_dir: Path, argv: str) -> None:
    snapshot = contents(work_dir)
    with open("/dev/full", "w") as full:
        process = run(*argv.split(), cwd=work_dir, capture_output=False, stdout=full, stderr=-1)
    assert process.returncode == 2
    assert "cannot write the output: No space left" in process.stderr
    assert is_one_line(process.stderr)
    assert contents(work_dir) == snapshot


@pytest.mark.skipif(sys.platform == "win32", reason="closed pipes behave differently")
def test_a_closed_pipe_ends_the_command_without_a_message(work_dir: Path) -> None:
    argv = [*COMMAND, "sample", "done", "--length", "100000"]
    with subprocess.Popen(
        argv, cwd=work_dir, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141

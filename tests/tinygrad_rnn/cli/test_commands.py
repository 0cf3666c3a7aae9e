"""The commands `train`, `sample`, `eval` and `info`, each in a separate process."""

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from command import COMMAND, ENVIRONMENT, ROOT, SMALL, TEXT, run, succeeds

from tinygrad_rnn.tasks.language_modeling import Options

pytestmark = pytest.mark.host

FILES = [
    "config.json",
    "corpus.txt",
    "last.safetensors",
    "loss.png",
    "metrics.jsonl",
    "model.safetensors",
    "sample.txt",
]


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "text.txt").write_text(TEXT)
    return folder


@pytest.fixture(scope="module")
def trained(work_dir: Path) -> tuple[Path, str]:
    """Return the folder of a run of one epoch, and the output of the command."""
    argv = ["train", "text.txt", *SMALL, "--epochs", 1, "--max-steps", 999, "--out", "done"]
    return work_dir / "done", succeeds(*argv, cwd=work_dir)


def test_a_run_writes_all_files(trained: tuple[Path, str]) -> None:
    folder, output = trained
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert f"Saved in done: {', '.join(FILES)}" in output
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "corpus.txt").read_text() == TEXT
    sample = (folder / "sample.txt").read_text()
    assert len(sample) == 301
    assert sample in output


def test_the_configuration_describes_the_run(trained: tuple[Path, str]) -> None:
    config = json.loads((trained[0] / "config.json").read_text())
    assert config["options"]["hidden"] == 8
    assert config["options"]["seed"] == 0
    assert config["vocabulary"] == "".join(sorted(set(TEXT)))
    assert config["text"]["characters"] == len(TEXT)
    assert config["versions"]["python"] == platform.python_version()


def test_metrics_contain_a_line_per_update_and_evaluation(trained: tuple[Path, str]) -> None:
    records = [json.loads(line) for line in (trained[0] / "metrics.jsonl").open()]
    updates = [record for record in records if record["event"] == "update"]
    evaluations = [record for record in records if record["event"] == "evaluation"]
    assert [record["step"] for record in updates] == list(range(1, len(updates) + 1))
    assert [record["step"] for record in evaluations] == [0, len(updates)]
    assert abs(updates[-1]["characters"] - 0.9 * len(TEXT)) <= 4 * 8  # plus or minus one batch


def test_the_number_of_training_characters_is_printed(trained: tuple[Path, str]) -> None:
    _, output = trained
    assert re.search(r"^Trained on [\d,]+ characters in ", output, re.MULTILINE)


def test_the_table_compares_the_model_with_markov_models(trained: tuple[Path, str]) -> None:
    """The validation text repeats the training text, so that high orders predict it well."""
    rows = dict(re.findall(r"Markov, order (\d) +([\d.]+ +\w+)", trained[1]))
    assert list(rows) == list("012345")
    assert rows["5"].endswith("better")
    model_bits = float(re.search(r"LSTM, 8 units +([\d.]+)", trained[1])[1])  # type: ignore[index]
    for row in rows.values():
        bits, verdict = row.split()
        assert verdict == ("worse" if model_bits < float(bits) else "better")


def test_equal_results_are_reported_as_equal(tmp_path: Path) -> None:
    """The suggested commands quote the folder for a shell."""
    (tmp_path / "a.txt").write_text("a" * 900)
    argv = ["train", "a.txt", *SMALL, "--max-steps", 1, "--out", "my run"]
    output = succeeds(*argv, cwd=tmp_path)
    assert len(re.findall(r"Markov, order \d +0\.000 +equal", output)) == 6
    for command in ("sample", "eval", "train --resume --out"):
        assert re.search(rf"tinygrad.rnn {command} 'my run'", output)


def test_runs_without_out_get_consecutive_names(work_dir: Path) -> None:
    """Three processes start at the same time."""
    argv = [*COMMAND, "train", "text.txt", *SMALL, "--max-steps", "1"]
    processes = [
        subprocess.Popen(argv, cwd=work_dir, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sorted(os.listdir(work_dir / "runs")) == ["lstm-1", "lstm-2", "lstm-3"]


def test_texts_are_concatenated_and_dash_reads_standard_input(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("ä".encode("latin-1") * 900)
    argv = ["train", "a.txt", "-", *SMALL, "--encoding", "latin-1", "--max-steps", 1]
    succeeds(*argv, "--out", "r", cwd=tmp_path, input="b" * 100)
    assert (tmp_path / "r" / "corpus.txt").read_text("utf-8") == "ä" * 900 + "b" * 100


def test_options_and_texts_may_be_mixed(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name * 500)
    succeeds("train", "a", *SMALL, "b", "--max-steps", 1, "--out", "r", cwd=tmp_path)
    assert (tmp_path / "r" / "corpus.txt").read_text() == "a" * 500 + "b" * 500


def test_arguments_after_two_dashes_are_texts(tmp_path: Path) -> None:
    for name in ("a", "-b"):
        (tmp_path / name).write_text(name * 500)
    argv = ["train", *SMALL, "--max-steps", 1, "--out", "r", "a", "--", "-b", "-"]
    succeeds(*argv, cwd=tmp_path, input="c")
    assert (tmp_path / "r" / "corpus.txt").read_text() == "a" * 500 + "-b" * 500 + "c"


def test_the_default_text_is_the_documentation_of_python(tmp_path: Path) -> None:
    argv = ["train", "--hidden", 4, "--embed", 2, "--max-steps", 1, "--out", "r"]
    output = succeeds(*argv, cwd=tmp_path)
    assert f"Python {platform.python_version()}" in output
    assert len((tmp_path / "r" / "corpus.txt").read_text("utf-8")) > 100_000


def test_overwrite_replaces_only_the_files_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    argv = ["train", "text.txt", *SMALL, "--max-steps", 1, "--out", "r"]
    succeeds(*argv, "--seed", 1, cwd=tmp_path)
    (tmp_path / "r" / "notes.txt").write_text("keep")
    first = (tmp_path / "r" / "model.safetensors").read_bytes()
    succeeds(*argv, "--seed", 2, "--overwrite", cwd=tmp_path)
    assert (tmp_path / "r" / "notes.txt").read_text() == "keep"
    assert (tmp_path / "r" / "model.safetensors").read_bytes() != first
    assert json.loads((tmp_path / "r" / "config.json").read_text())["options"]["seed"] == 2


def test_sample_continues_the_prompt(trained: tuple[Path, str]) -> None:
    argv = ["sample", trained[0], "--prompt", "the ", "--length", 30, "--seed"]
    first, again, other = (succeeds(*argv, seed, cwd=trained[0]) for seed in (1, 1, 2))
    assert first.startswith("the ")
    assert first.endswith("\n")
    assert len(first) == 4 + 30 + 1
    assert first == again != other


def test_greedy_sampling_does_not_depend_on_the_seed(trained: tuple[Path, str]) -> None:
    argv = ["sample", trained[0], "--length", 30, "--seed"]
    greedy = [succeeds(*argv, seed, "--temperature", 0, cwd=trained[0]) for seed in (1, 2)]
    top = [
        succeeds(*argv, 3, *only, cwd=trained[0]) for only in (("--top-k", 1), ("--top-p", 1e-9))
    ]
    assert greedy == top


def test_eval_evaluates_the_text_of_the_run_and_other_texts(trained: tuple[Path, str]) -> None:
    folder, output = trained
    own = succeeds("eval", folder, cwd=folder)
    bits = re.search(r"LSTM, 8 units +([\d.]+)", output)[1]  # type: ignore[index]
    row = re.search(r"LSTM, 8 units +([\d.]+) +([\d.]+) +[\d.]+ +[\d.]+", own)
    assert row is not None
    assert row[1] == bits
    assert float(row[2]) == pytest.approx(2 ** float(row[1]), rel=1e-2)
    lazy = succeeds("eval", folder, "-", cwd=folder, input="the lazy dog")
    assert len(re.findall(r"Markov, order \d +[\d.]+ +[\d.]+", lazy)) == 6


def test_the_device_option_overrides_the_default_device(work_dir: Path) -> None:
    environment = ENVIRONMENT | {"AUTOGRAD_DEVICE": "abacus"}
    argv = [*COMMAND, "train", "text.txt", *SMALL, "--max-steps", "1", "--out", "cpu"]
    assert subprocess.run(argv, cwd=work_dir, env=environment, capture_output=True).returncode == 0


def test_info_prints_versions_threads_and_devices(work_dir: Path) -> None:
    output = succeeds("info", cwd=work_dir)
    for line in [r"numpy +\d", r"threads +1 ", r"device cpu +NumPy", r"device cuda +\w"]:
        assert re.search(line, output)


@pytest.mark.parametrize("argv", ["", "--help", "train --help", "sample --help", "eval -h"])
def test_help_is_printed(work_dir: Path, argv: str) -> None:
    output = succeeds(*argv.split(), cwd=work_dir)
    assert output.startswith("usage: tinygrad-rnn")


def test_help_shows_every_default(work_dir: Path) -> None:
    output = re.sub(r"\s+", " ", succeeds("train", "--help", cwd=work_dir))
    for option in fields(Options):
        default = "" if option.default is None else rf"[^-]*\(default: {option.default}\)"
        assert re.search(f"--{option.name.replace('_', '-')} [A-Z]+ {default}", output)


def test_the_module_runs_without_being_installed(tmp_path: Path) -> None:
    """The source folder is on PYTHONPATH, and the project is not installed."""
    process = subprocess.run(
        [sys.executable, "-m", "tinygrad_rnn", "--version"],
        cwd=tmp_path,
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
    )
    assert re.fullmatch(r"tinygrad-rnn \d+\.\d+.*\n", process.stdout)


def test_ctrl_c_during_startup_exits_quietly(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")
    environment = ENVIRONMENT | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    process = subprocess.run([*COMMAND, "info"], cwd=tmp_path, env=environment, capture_output=True)
    assert (process.returncode, process.stdout, process.stderr) == (130, b"", b"")


def test_warnings_are_printed_without_source_code(tmp_path: Path) -> None:
    lines = ["import warnings", 'CLAIM = "a"', "def main(demo):", '    warnings.warn("b")']
    (tmp_path / "own.py").write_text("\n".join(lines))
    process = run("demo", "own.py", "--out", "out", cwd=tmp_path)
    assert (process.returncode, process.stderr) == (0, "tinygrad-rnn: warning: b\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_redrawn_line(tmp_path: Path) -> None:
    import pty

    (tmp_path / "text.txt").write_text(TEXT)
    argv = [*COMMAND, "train", "text.txt", *SMALL, "--epochs", "2", "--out", "r"]
    reader, terminal = pty.openpty()
    with subprocess.Popen(argv, cwd=tmp_path, env=ENVIRONMENT, stdout=terminal) as process:
        os.close(terminal)
        output = b""
        while True:
            try:
                chunk = os.read(reader, 4096)
            except OSError:  # on Linux, the other end was closed
                break
            if not chunk:
                break
            output += chunk
    os.close(reader)
    assert process.returncode == 0
    for phrase in (b"loss", b"validation", b"chars/s", b"left", b"\x1b[2K"):
        assert phrase in output


def test_output_without_a_terminal_has_no_control_codes(trained: tuple[Path, str]) -> None:
    assert "\x1b" not in trained[1]
    assert re.search(r"epoch 1, step \d+: validation [\d.]+ bits per character", trained[1])


def test_characters_outside_the_output_encoding_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("ω" * 900, "utf-8")
    succeeds("train", "text.txt", *SMALL, "--max-steps", 1, "--out", "r", cwd=tmp_path)
    argv = [*COMMAND, "sample", "r", "--length", "3"]
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    output = subprocess.check_output(argv, cwd=tmp_path, env=environment)
    assert output.strip() == b"\\u03c9" * 3


def test_resuming_a_complete_run_prints_its_results_again(trained: tuple[Path, str]) -> None:
    folder, first = trained
    checkpoint = (folder / "last.safetensors").read_bytes()
    process = run("train", "--resume", "--out", folder, cwd=folder)
    assert process.returncode == 0
    assert "The run is complete: it has reached --epochs 1" in process.stdout
    assert (
        process.stdout.split("The best model is")[1].replace(str(folder), "done")
        == (first.split("The best model is")[1])
    )
    assert (folder / "last.safetensors").read_bytes() == checkpoint

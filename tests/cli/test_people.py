"""The command line for people: the list of verbs, near misses, settings from a file, completion."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adaption.cli.main import VERBS, main, verb_parsers
from adaption.cli.options import preprocessing_words
from adaption.cli.parser import meant
from adaption.net import Net

ROOT = Path(__file__).resolve().parents[2]
NET = str(ROOT / "models/lenet_digits/deploy.prototxt")


def test_adaption_alone_lists_every_verb_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(listed) == sorted(VERBS)
    order = [listed.index(v) for v in ("inspect", "quantize", "measure", "train", "export")]
    assert order == sorted(order)


@pytest.mark.parametrize(
    ("words", "want"),
    [
        pytest.param(
            ["quantise"],
            "adaption: unknown verb 'quantise'\n"
            "  fix: did you mean quantize? adaption alone lists all verbs\n",
            id="verb",
        ),
        pytest.param(
            ["help"],
            "adaption: unknown verb 'help'\n"
            "  fix: adaption VERB --help explains a verb; adaption alone lists all verbs\n",
            id="a verb of others",
        ),
        pytest.param(
            ["inspect", "a", "--jsn"],
            "adaption inspect: unknown flag --jsn\n  fix: did you mean --json?\n",
            id="flag",
        ),
        pytest.param(
            ["quantize", "a", "b", "--output", "c"],
            "adaption quantize: unknown flag --output\n  fix: did you mean --out?\n",
            id="unknown flag before what is missing",
        ),
        pytest.param(
            ["quantize", "a", "b", "-o", "c", "--mean", "4"],
            "adaption quantize: --mean may be --mean-value, --mean-file\n"
            "  fix: write the flag in full\n",
            id="two flags",
        ),
        pytest.param(
            ["inspect", "a", "--xyzzy"],
            "adaption inspect: unknown flag --xyzzy\n"
            "  fix: adaption inspect --help lists all flags\n",
            id="nothing near",
        ),
        pytest.param(
            ["draw", "a", "--file", "b"],
            "adaption draw: unknown flag --file\n  fix: adaption draw --help lists all flags\n",
            id="no flag for a file",
        ),
        pytest.param(
            ["export", "a", "b", "--to", "onnx", "--image-layout", "NHCW"],
            "adaption export: --image-layout is 'NHCW', allowed: NCHW, NHWC\n"
            "  fix: did you mean NHWC or NCHW?\n",
            id="choice",
        ),
        pytest.param(
            ["propose", "a", "b", "-o", "c", "--rule", "sqrn"],
            "adaption propose: rule is 'sqrn', allowed: adaption, adaption-legacy, max,"
            " percentile, sqnr, error\n  fix: did you mean sqnr?\n",
            id="choice of an option value",
        ),
        pytest.param(
            ["rescale", "a"],
            "adaption rescale: missing: weights, --factor, -o/--out, --weights-out\n"
            "  fix: for example: adaption rescale deploy.prototxt vgg16.caffemodel --factor"
            " 0.00392156862745 -o deploy_1.prototxt --weights-out vgg16_1.caffemodel\n",
            id="missing",
        ),
        pytest.param(
            ["verify", "a", "b"],
            "adaption verify: missing: A\n  fix: A is the ONNX file made from the net, an npz of"
            " recorded blobs, or a way to compute it: lp, lp64, exact, exact-half-even, c, float,"
            " baked, opencv, int32; for example: adaption verify out/net_lp.prototxt"
            " out/net_lp.caffemodel out/net_lp.onnx\n",
            id="missing, with a name that says little",
        ),
        pytest.param(
            ["measure", "a", "b", "--scale", "1/255"],
            "adaption measure: --scale is '1/255', allowed: a number\n"
            "  fix: write the number itself: --scale 0.00392157\n",
            id="a quotient",
        ),
        pytest.param(
            ["measure", "a", "b", "--scale", "1/0"],
            "adaption measure: --scale is '1/0', allowed: a number\n",
            id="no number",
        ),
        pytest.param(
            ["train", "a", "--iterations", "1e3"],
            "adaption train: --iterations is '1e3', allowed: a whole number\n",
            id="no whole number",
        ),
        pytest.param(
            ["quantize", "a", "--weights", "b", "-o", "c"],
            "adaption quantize: unknown flag --weights\n"
            "  fix: give it by its place, without a flag: for example: adaption quantize",
            id="a flag for what has a place",
        ),
        pytest.param(
            ["train", "-iter=3"],
            "adaption train: unknown flag -iter\n  fix: did you mean --iterations?\n",
            id="one dash",
        ),
        pytest.param(
            ["draw", NET],
            "adaption draw: missing: -o FILE\n  fix: name the file to write once: -o FILE\n",
            id="no file to write",
        ),
        pytest.param(
            ["upgrade", NET, "a", "-o", "b"],
            "adaption upgrade: the file to write is given twice\n"
            "  fix: name the file to write once: -o FILE\n",
            id="two files to write",
        ),
    ],
)
def test_near_misses(words: list[str], want: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(want)


LP = """
input: "data" input_shape { dim: 1 dim: 1 dim: 6 dim: 6 }
layer { name: "conv1" type: "LPConvolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 2 kernel_size: 3 } lpfp_param { bd: 2 ad: 6 } }
layer { name: "act1" type: "LPAct" bottom: "conv1" top: "act1" lpfp_param { bd: 5 ad: 3 } }
"""


@pytest.mark.parametrize(
    ("words", "want"),
    [
        pytest.param("export lp w -o e.onnx --to onxx", "did you mean onnx?", id="export target"),
        pytest.param("export lp w -o e.onnx --to onnx --style qqd", "did you mean qdq?", id="s"),
        pytest.param(
            "export lp w -o e.onnx --to onnx --processor vnn", "did you mean vnni?", id="processor"
        ),
        pytest.param("export lp w -o e.onnx --to onnx --end act", "did you mean 'act1'?", id="end"),
        pytest.param(
            "export lp w -o e.onnx --to onnx --input-format dta=Q2.3",
            "did you mean data?",
            id="input of a file",
        ),
        pytest.param("verify lp w exat lp", "did you mean exact?", id="backend"),
        pytest.param("verify lp w in32", "did you mean int32?", id="training step"),
        pytest.param(
            "verify lp w lp64 exact --input-format dat=Q3.3", "did you mean data?", id="input"
        ),
        pytest.param("edit lp -o x conv1:wieght=Q2.14", "did you mean weight?", id="point"),
        pytest.param("edit lp -o x cnv1:weight=Q2.14", 'did you mean "conv1"?', id="layer"),
        pytest.param("draw lp -o x.svgg", "did you mean .svg?", id="suffix"),
        pytest.param("inspect lp --dialect ssdd", "did you mean ssd?", id="dialect"),
        pytest.param("time lp --phase TRIAN", "did you mean TRAIN?", id="phase"),
        pytest.param("rewrite lp -o x --recipe wprn", "did you mean wrpn?", id="recipe"),
        pytest.param("extract lp --mode deplyo", "did you mean deploy?", id="mode"),
    ],
)
def test_near_misses_of_names(
    words: str,
    want: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    net = Net(write(tmp_path / "lp.prototxt", LP))
    net.save(tmp_path / "w.caffemodel")
    places = {"lp": "lp.prototxt", "w": "w.caffemodel"}
    assert main([places.get(word, word) for word in words.split()]) == 2
    assert want in capsys.readouterr().err


def test_words_behind_a_flag_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "lp.prototxt", LP)
    words = ["edit", "lp.prototxt", "conv1:weight=Q3.5", "-o", "x.prototxt", "act1:activation=Q6.2"]
    assert main(words) == 0
    said = (tmp_path / "x.prototxt").read_text()
    assert "bd: 3 ad: 5" in said and "bd: 6 ad: 2" in said


def test_words_that_nothing_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", NET, "--json", "--", "--x"]) == 2
    assert main(["rescale", "a", "b", "c", "--factor", "2", "-o", "d", "--weights-out", "e"]) == 2
    assert "adaption rescale: not understood: c\n" in capsys.readouterr().err


def test_meant() -> None:
    assert meant("zzz", ["abc"]) == ""
    assert meant("--bit", ["--bits", "--batch-size"]) == "did you mean --bits?"


def test_o_names_the_file_to_write_in_every_verb() -> None:
    for verb, parser in verb_parsers().items():
        action = parser._option_string_actions.get("-o")
        assert action is None or action.dest == "out", verb


def test_draw_writes_where_o_says(tmp_path: Path) -> None:
    assert main(["draw", NET, "-o", str(tmp_path / "net.dot"), "--quiet"]) == 0
    assert main(["draw", NET, str(tmp_path / "old.dot"), "--quiet"]) == 0
    assert (tmp_path / "net.dot").read_bytes() == (tmp_path / "old.dot").read_bytes()


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_settings_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shared keys, the verb's own, a flag with two values, and one that the command line wins."""
    lp, both = tmp_path / "lp.prototxt", tmp_path / "both.prototxt"
    config = write(
        tmp_path / "settings.toml",
        f"""limit = 5  # for other verbs
json = true
weight = "Q1.1"
[rewrite]
weight = "Q2.6"
activation = "Q5.3"
exclude-first = true
also = [["{NET}", "{both}"]]
[edit]
dry-run = true
""",
    )
    assert main(["rewrite", NET, "-o", str(lp), "--config", config, "--activation=Q6.2"]) == 0
    json.loads(capsys.readouterr().out)
    for text in (lp.read_text(), both.read_text()):
        assert "bd: 2\n    ad: 6" in text and "bd: 6\n    ad: 2" in text
        assert text.count("LPConvolution") == 1


def test_a_file_may_hold_what_a_verb_requires(tmp_path: Path) -> None:
    out = tmp_path / "net.dot"
    config = write(tmp_path / "c.toml", f'[draw]\nout = "{out}"\nrankdir = "TB"\nquiet = true\n')
    assert main(["draw", NET, f"--config={config}"]) == 0
    assert "rankdir=TB" in out.read_text().replace('"', "")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("[draw]\nrankdr = 'TB'", ": [draw] has rankdr, and draw has no flag --rankdr\n"
         "  fix: did you mean rankdir?"),
        ("[drow]\nx = 1", ": [drow] is no verb\n  fix: did you mean draw?"),
        ("[draw]\nrankdir = 'XX'", ": --rankdir is 'XX', allowed: LR, TB, RL, BT"),
        ("[draw]\nquiet = 'yes'", ": quiet is 'yes', allowed: true, false"),
        ("[draw]\nrankdir = true", ": rankdir is True, allowed: a value, as the flag takes it"),
        ("draw", ": no TOML: Expected '=' after a key in a key/value pair"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit(
    text: str, want: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write(tmp_path / "c.toml", text)
    assert main(["draw", NET, "-o", "no.dot", "--config", config]) == 2
    assert capsys.readouterr().err.startswith(f"adaption draw: {config}{want}")
    assert main(["draw", NET, "-o", "no.dot", "--config", str(tmp_path / "none.toml")]) == 2


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (["qu"], {"quantize"}),
        (["quantize", "--mean"], {"--mean-value", "--mean-file"}),
        (["quantize", "--rule", "s"], {"sqnr"}),
        (["draw", "--rankdir", ""], {"LR", "TB", "RL", "BT"}),
    ],
)
def test_completion_in_bash(
    words: list[str], want: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = write(tmp_path / "completion", capsys.readouterr().out)
    quoted = " ".join(f"'{word}'" for word in ["adaption", *words])
    call = (
        f"source '{script}'; COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _adaption;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == want


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_names_every_verb(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["completion", "bash"],
        ["upgrade", NET, "-o", "OUT"],
        ["plot-log", "LOG", "-o", "OUT.svg"],
    ],
    ids=lambda words: words[0] if words else "alone",
)
def test_verbs_that_need_no_torch_do_not_import_it(words: list[str], tmp_path: Path) -> None:
    log = write(tmp_path / "run.jsonl", '{"event": "train", "iter": 0, "loss": 2.5, "lr": 0.1}\n')
    places = {"OUT": str(tmp_path / "out"), "LOG": log, "OUT.svg": str(tmp_path / "out.svg")}
    code = (
        "import sys; from adaption.cli.main import main;"
        " code = main(sys.argv[1:]); assert 'torch' not in sys.modules; sys.exit(code)"
    )
    call = [sys.executable, "-c", code, *(places.get(word, word) for word in words)]
    done = subprocess.run(call, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_to_type_next_keeps_the_preprocessing() -> None:
    words = ["test", "a", "b", "--data", "c", "--scale", "0.0625", "--mirror", "--root", "d"]
    args = verb_parsers()["test"].parse_args(words[1:])
    assert preprocessing_words(args) == ["--scale", "0.0625", "--root", "d", "--mirror"]

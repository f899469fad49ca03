"""Files of the example net that take some work to make."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

__all__ = [
    "KEPT",
    "LENET",
    "MADE",
    "NET",
    "RECIPE_SIDECAR",
    "SIDECAR",
    "SMALL_NET",
    "STYLES",
    "WEIGHTS",
]

ROOT = Path(__file__).resolve().parents[2]
LENET = ROOT / "models" / "lenet_digits"
NET = LENET / "deploy.prototxt"
WEIGHTS = LENET / "lenet_digits.caffemodel"
KEPT: dict[str, Any] = {}  # nets that one child process builds once


class _Made:
    """Files of the example net, made once in a process and put where they are needed."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def need(self, name: str) -> bytes:
        """The content of a file, which is then in the working directory with what belongs to it."""
        if not Path(name).exists():
            if name not in self._files:
                _MAKERS[name]()
                self._files |= {p.name: p.read_bytes() for p in Path().iterdir() if p.is_file()}
            for other, content in self._files.items():
                Path(other).write_bytes(content)
        return Path(name).read_bytes()


def _measure() -> None:
    import adaption

    data = LENET / "digits_test_lmdb"
    adaption.measure(NET, WEIGHTS, data, out="m.json", limit=4, legacy_rule=True, quiet=True)


def _propose() -> None:
    import adaption

    MADE.need("m.json")
    adaption.propose(str(NET), "m.json", bits=8).save("p.json")


def _measure_small() -> None:
    """A measurement of few rows, and what is proposed for it: read in a third of the time."""
    import numpy as np

    import adaption

    Path(SMALL_NET).write_text(
        'name: "small" layer { name: "data" type: "Input" top: "data" input_param { shape'
        ' { dim: 1 dim: 1 dim: 4 dim: 4 } } } layer { name: "conv" type: "Convolution"'
        ' bottom: "data" top: "conv" convolution_param { num_output: 2 kernel_size: 3'
        ' weight_filler { type: "xavier" } } } layer { name: "relu" type: "ReLU" bottom: "conv"'
        ' top: "conv" }'
    )
    adaption.Net(SMALL_NET, seed=0).save("small.caffemodel")
    images = np.random.default_rng(0).normal(size=(4, 1, 4, 4)).astype("f4")
    np.savez("small.npz", data=images)
    adaption.measure(
        SMALL_NET, "small.caffemodel", "small.npz", out="small_m.json", legacy_rule=True, quiet=True
    )
    adaption.propose(SMALL_NET, "small_m.json", bits=8).save("small_p.json")


def _convert() -> None:
    import adaption

    MADE.need("p.json")
    adaption.rewrite_files(
        NET, "lp.prototxt", plan="p.json", weights=WEIGHTS, weights_out="lp.caffemodel"
    )


def _export(style: str) -> None:
    import adaption

    MADE.need("lp.prototxt")
    formats = {"data": adaption.FixedPoint(8, 2)} if style == "integer" else None
    adaption.export_net(
        "lp.prototxt", "lp.caffemodel", to="onnx", style=style, out=f"{style}.onnx",
        input_formats=formats,
    )  # fmt: skip


def _train(prefix: str = "a", policy: str = "") -> None:
    """A snapshot with its sidecar, and a log."""
    import adaption

    Path(f"{prefix}.prototxt").write_text(
        'net_param { name: "n" layer { name: "d" type: "DummyData" top: "x" top: "t"'
        " dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 2 } } }"
        ' layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"'
        " inner_product_param { num_output: 2 } }"
        ' layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "l" } }'
        ' base_lr: 0.1 lr_policy: "fixed" max_iter: 3 display: 1'
        f' snapshot_prefix: "{prefix}" {policy}'
    )
    lines: list[str] = []
    adaption.train(
        f"{prefix}.prototxt", seed=1, log_json=f"{prefix}.jsonl",
        log=lambda source, text: lines.append(f"I1128 22:00:00.000000  1 {source}] {text}"),
    )  # fmt: skip
    Path(f"{prefix}.log").write_text("\n".join(lines))


SMALL_NET = "small.prototxt"
ADAPT = """precision_policy { type: "ADAPT"
  adapt_param { lookback_min: 2 lookback_max: 3 resolution_min: 3 resolution_max: 9 } }"""
SIDECAR = "a_iter_3.solverstate.json"
SNAPSHOT = ("a_iter_3.caffemodel", "a_iter_3.solverstate", SIDECAR)
RECIPE_SIDECAR = "b_iter_3.solverstate.json"
STYLES = ("float", "qdq", "integer")
_MAKERS: dict[str, Callable[[], None]] = {
    "m.json": _measure,
    "p.json": _propose,
    "small_m.json": _measure_small,
    "small_p.json": _measure_small,
    "lp.prototxt": _convert,
    **{name: _train for name in (*SNAPSHOT, "a.log", "a.jsonl")},
    **{name: partial(_train, "b", ADAPT) for name in (RECIPE_SIDECAR, "b.jsonl")},
    **{f"{style}.onnx": partial(_export, style) for style in STYLES},
}
MADE = _Made()

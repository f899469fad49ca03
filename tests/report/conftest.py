"""A summary as `adaption quantize` writes it, small enough to read; a page, looked at."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

Summary = dict[str, Any]

VOID = {"meta", "br", "hr", "input", "img", "link", "col", "circle", "rect", "line", "path", "wbr"}


class Page(HTMLParser):
    """Tags in order, their nesting checked, and every address the page points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words += data


def point(word_length: int, frac_length: int, **changes: Any) -> Summary:
    """One measured quantization point."""
    peak = 2.0 ** (word_length - frac_length - 1) * 0.8
    low = -frac_length - 4
    length = word_length + 3
    hill = [max(0, 400 - (k - 2 * length // 3) ** 2 * 8) + 1 for k in range(length)]
    return {
        "q": f"Q{word_length - frac_length}.{frac_length}",
        "word_length": word_length,
        "frac_length": frac_length,
        "min": -peak,
        "max": peak * 0.9,
        "max_abs": peak,
        "mean": 0.001,
        "count": 2 * sum(hill) + 7,
        "saturated_share": 0.0,
        "flushed_share": 0.0123,
        "zero_share_before": 0.05,
        "zero_share_after": 0.0623,
        "sqnr_db": 81.24,
        "histogram": {"exponent_low": low, "negative": hill, "positive": hill, "zeros": 7},
        "reason": f"max-abs {peak:.4g} needs {word_length - frac_length} bits left of the point",
        **changes,
    }


def layer(name: str, kind: str = "Convolution", **changes: Any) -> Summary:
    """One entry of `layers`."""
    return {
        "name": name,
        "type": kind,
        "macs": 2_293_000,
        "zero_skippable_macs": 412_000,
        "weight": point(16, 15),
        "bias": None,
        "activation": point(16, 10, saturated_share=0.00002, sqnr_db=64.5),
        **changes,
    }


def lenet() -> Summary:
    """A 16-bit LeNet with labels, nothing unusual in it."""
    names = {"conv1": "Convolution", "conv2": "Convolution", "ip1": "InnerProduct"}
    blobs = [
        {"blob": n, "layer": n, "max_error": 0.0, "max_error_lsb": 0.0, "differing_share": 0.0}
        for n in ("conv1", "conv2", "ip1", "ip2")
    ]
    files = {
        "net": "lenet.prototxt",
        "weights": "lenet.caffemodel",
        "weights_lp": "out/lp.caffemodel",
    }
    return {
        "format": "adaption.summary/1",
        "adaption_version": "0.1.0",
        "net": "LeNet",
        "bits": 16,
        "rule": "adaption",
        "threshold": 0.0,
        "rounding": "half_away",
        "files": {k: {"path": v, "size_bytes": 1_725_006} for k, v in files.items()},
        "data": {
            "source": "t10k",
            "kind": "lmdb",
            "samples": 500,
            "skipped": 0,
            "has_labels": True,
        },
        "preprocessing": {"channel_order": "BGR", "resize": [28, 28], "scale": 0.00390625},
        "layers": [
            *(layer(name, kind) for name, kind in names.items()),
            layer("ip2", "InnerProduct", bias=point(16, 15, sqnr_db=None)),
        ],
        "accuracy": {
            "float": {"top1": 0.991, "top5": 0.999},
            "quantized": {"top1": 0.9908, "top5": 0.999},
            "samples": 500,
        },
        "flipped_predictions": {"count": 3, "share": 0.006, "samples": 500},
        "output_sqnr_db": {"prob": 65.2},
        "macs": {
            "total": 2_293_000,
            "zero_skippable_before": 100_000,
            "zero_skippable_after": 412_000,
        },
        "sparsity": {
            "weights_before": 0.0,
            "weights_after": 0.1,
            "activations_before": 0.4,
            "activations_after": 0.5,
        },
        "verification": [
            {"what": "prototxt and caffemodel read back", "ok": True, "detail": "bit-equal"},
            {"what": "onnxruntime", "ok": True, "detail": "4 samples", "blobs": blobs},
        ],
        "seconds": 12.3,
        "notes": ["Dropout was left out."],
    }


@pytest.fixture
def summary() -> Summary:
    return lenet()

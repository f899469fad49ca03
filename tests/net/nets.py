"""Nets from prototxt text."""

from __future__ import annotations

from typing import Any

import torch

from adaption.io import prototxt
from adaption.io.netfile import from_document
from adaption.net import Net

FILE = "net.prototxt"


def net_of(text: str, weights: Any = None, phase: str = "TEST", **options: Any) -> Net:
    """The net that `text` describes, seeded."""
    options.setdefault("seed", 1)
    return Net(from_document(prototxt.parse(text, FILE)), weights, phase, **options)


def data(*shape: int, name: str = "data") -> str:
    dims = " ".join(f"dim: {d}" for d in shape)
    return (
        f'layer {{ name: "{name}" type: "Input" top: "{name}"'
        f" input_param {{ shape {{ {dims} }} }} }}\n"
    )


def layer(kind: str, name: str, bottoms: str, tops: str | None = None, more: str = "") -> str:
    """One layer; `bottoms` and `tops` are blob names with blanks between, the top is the name."""
    blobs = "".join(f' bottom: "{b}"' for b in bottoms.split())
    blobs += "".join(f' top: "{t}"' for t in (name if tops is None else tops).split())
    return f'layer {{ name: "{name}" type: "{kind}"{blobs} {more} }}\n'


GAUSSIAN = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'


def inner_product(name: str, bottom: str, outputs: int = 3, more: str = "", own: str = "") -> str:
    """InnerProduct; `more` goes into the layer, `own` into inner_product_param."""
    param = f"inner_product_param {{ num_output: {outputs} {GAUSSIAN} {own} }}"
    return layer("InnerProduct", name, bottom, more=f"{param} {more}")


def lp_inner_product(
    name: str, bottom: str, outputs: int = 3, lpfp: str = "bd: 2 ad: 2", more: str = ""
) -> str:
    param = f"inner_product_param {{ num_output: {outputs} {GAUSSIAN} }} lpfp_param {{ {lpfp} }}"
    return layer("LPInnerProduct", name, bottom, more=f"{param} {more}")


def euclidean(name: str, bottoms: str, more: str = "") -> str:
    return layer("EuclideanLoss", name, bottoms, more=more)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

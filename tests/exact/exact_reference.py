"""An independent, slow reference of exact arithmetic: rational numbers, one loop per sum.

It reads the prototxt's messages and the master blobs itself and shares no code with the package
but the parser. Every value is a Fraction, so nothing is rounded but at quantization points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.net import Net

Array = npt.NDArray[Any]

ROUNDINGS: dict[str, Callable[[Fraction], int]] = {
    "half_away": lambda x: int(math.copysign(1, x)) * math.floor(abs(x) + Fraction(1, 2)),
    "half_even": round,
    "floor": math.floor,
}


def fractions(x: Any) -> Array:
    """Every float32 as the rational number that it is."""
    flat = [Fraction(float(v)) for v in np.asarray(x, np.float32).ravel()]
    made = np.empty(len(flat), object)
    made[:] = flat
    return made.reshape(np.shape(x))


def rounded(x: Array, word: int, frac: int, rounding: str = "half_away") -> Array:
    top = 2 ** (word - 1) - 1
    step = Fraction(2) ** -frac

    def one(v: Fraction) -> Fraction:
        return max(-top, min(top, ROUNDINGS[rounding](v / step))) * step

    made = np.empty(x.shape, object)
    for index in np.ndindex(x.shape):
        made[index] = one(x[index])
    return made


def formats(message: Any) -> tuple[int, int] | None:
    """(word, frac) of lpfp_param."""
    if message.HasField("lpfp_param"):
        return message.lpfp_param.bd + message.lpfp_param.ad, message.lpfp_param.ad
    return None


def convolution(x: Array, w: Array, p: Any, *, transposed: bool) -> Array:
    def one(values: Any, default: int) -> int:
        return int(values[0]) if len(values) else default

    k, s, pad = w.shape[2], one(p.stride, 1), one(p.pad, 0)
    dilation, group = one(p.dilation, 1), p.group
    reach = dilation * (k - 1) + 1
    n, channels, height, width = x.shape
    if transposed:
        sizes = [s * (d - 1) + reach - 2 * pad for d in (height, width)]
    else:
        sizes = [(d + 2 * pad - reach) // s + 1 for d in (height, width)]
    top = np.full((n, p.num_output, *sizes), Fraction(0), object)
    inner, outer = channels // group, p.num_output // group
    for b, g, i, o in product(range(n), range(group), range(inner), range(outer)):
        ci, co = g * inner + i, g * outer + o
        for ky, kx in product(range(k), range(k)):
            small = sizes if not transposed else (height, width)
            for y, xx in product(range(small[0]), range(small[1])):
                v, u = y * s - pad + ky * dilation, xx * s - pad + kx * dilation
                large = (height, width) if not transposed else sizes
                if not (0 <= v < large[0] and 0 <= u < large[1]):
                    continue
                if transposed:
                    top[b, co, v, u] += x[b, ci, y, xx] * w[ci, o, ky, kx]
                else:
                    top[b, co, y, xx] += x[b, ci, v, u] * w[co, i, ky, kx]
    return top


def pooling(x: Array, p: Any) -> Array:
    n, channels, height, width = x.shape
    k, s, pad = p.kernel_size, p.stride, p.pad
    if p.global_pooling:
        k, s, pad = height, 1, 0
    tops = []
    for size in (height, width):
        top = math.ceil((size + 2 * pad - k) / s) + 1
        if pad and (top - 1) * s >= size + pad:
            top -= 1
        tops.append(top)
    made = np.empty((n, channels, *tops), object)
    for b, c, y, xx in product(range(n), range(channels), range(tops[0]), range(tops[1])):
        y0, x0 = y * s - pad, xx * s - pad
        y1, x1 = min(y0 + k, height + pad), min(x0 + k, width + pad)
        window = x[b, c, max(y0, 0) : min(y1, height), max(x0, 0) : min(x1, width)]
        if p.pool == 0:
            made[b, c, y, xx] = max(window.ravel())
        else:
            made[b, c, y, xx] = sum(window.ravel(), Fraction(0)) / ((y1 - y0) * (x1 - x0))
    return made


def per_channel(values: Array, x: Array) -> Array:
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


def power(p: Any) -> Callable[[float], float]:
    return lambda x: (p.shift + p.scale * x) ** p.power


def exponential(p: Any) -> Callable[[float], float]:
    return lambda x: math.exp((p.shift + p.scale * x) * (1 if p.base == -1 else math.log(p.base)))


FUNCTIONS: dict[str, Callable[[Any], Callable[[float], float]]] = {
    "Sigmoid": lambda m: lambda x: 1 / (1 + math.exp(-x)),
    "TanH": lambda m: math.tanh,
    "ELU": lambda m: lambda x: x if x > 0 else m.elu_param.alpha * math.expm1(x),
    "Exp": lambda m: exponential(m.exp_param),
    "Log": lambda m: (
        lambda x: math.log(m.log_param.shift + m.log_param.scale * x) / math.log(m.log_param.base)
    ),
    "Power": lambda m: power(m.power_param),
    "Swish": lambda m: lambda x: x / (1 + math.exp(-m.swish_param.beta * x)),
    "BNLL": lambda m: lambda x: math.log1p(math.exp(x)),
    "Threshold": lambda m: lambda x: float(x > m.threshold_param.threshold),
    "AbsVal": lambda m: abs,
}


def function(kind: str, message: Any, x: Array) -> Array:
    """float64 of every value; beyond float64, far outside every range."""

    def one(v: Fraction) -> Fraction:
        try:
            return Fraction(FUNCTIONS[kind](message)(float(v)))
        except OverflowError:
            return Fraction(10) ** 99

    made = np.empty(x.shape, object)
    for index in np.ndindex(x.shape):
        made[index] = one(x[index])
    return made


def run(net: Net, inputs: Mapping[str, Array]) -> dict[tuple[str, str], Array]:
    """Rational values of every top, by layer and blob."""
    blobs = {name: fractions(x) for name, x in inputs.items()}
    tops = {}
    for node in net.nodes:
        spec = node.spec
        if spec.type in ("Input", "Softmax"):
            continue
        xs = [blobs[b] for b in spec.bottoms]
        made = layer(spec.type, spec.message, xs, [fractions(b.data) for b in node.masters])
        own = spec.message.precision_param
        if own.HasField("activation"):  # of the layer itself; LPActs of these nets have lpfp_param
            point = own.activation
            kind = point.DESCRIPTOR.fields_by_name["rounding"].enum_type
            rounding = kind.values_by_number[point.rounding].name.lower()
            made = [rounded(x, point.word_length, point.frac_length, rounding) for x in made]
        for name, top in zip(spec.tops, made * len(spec.tops), strict=False):
            blobs[name] = tops[spec.name, name] = top
    return tops


def layer(kind: str, message: Any, xs: list[Array], blobs: list[Array]) -> list[Array]:
    x = xs[0]
    if kind in ("Split", "Dropout"):
        return [x]
    if kind in FUNCTIONS:
        return [function(kind, message, x)]
    if kind == "LPAct":
        own = formats(message)
        assert own is not None
        return [rounded(x, *own)]
    if "Convolution" in kind or kind == "Deconvolution" or "InnerProduct" in kind:
        w, *bias = blobs
        own = formats(message)
        if own is not None:
            w = rounded(w, *own)
        else:
            point = message.precision_param.weight
            w = rounded(w, point.word_length, point.frac_length)
        if "InnerProduct" in kind:
            top = x.reshape(x.shape[0], -1) @ w.T
        else:
            top = convolution(x, w, message.convolution_param, transposed=kind == "Deconvolution")
        return [top + per_channel(bias[0], top)] if bias else [top]
    if kind == "ReLU":
        slope = fractions(message.relu_param.negative_slope)[()]
        return [np.where(x > 0, x, x * slope)]
    if kind == "PReLU":
        return [np.where(x > 0, x, x * per_channel(blobs[0], x))]
    if kind == "Pooling":
        return [pooling(x, message.pooling_param)]
    if kind == "Eltwise":
        operation = message.eltwise_param.operation
        coeff = [Fraction(c) for c in message.eltwise_param.coeff] or [Fraction(1)] * len(xs)
        y = x * coeff[0] if operation == 1 else x
        for other, c in zip(xs[1:], coeff[1:], strict=True):
            y = (y * other, y + other * c, np.maximum(y, other))[operation]
        return [y]
    if kind == "Concat":
        return [np.concatenate(xs, 1)]
    if kind == "Flatten":
        return [x.reshape(x.shape[0], -1)]
    if kind == "Scale":
        y = x * per_channel(blobs[0], x)
        return [y + per_channel(blobs[1], x)] if len(blobs) > 1 else [y]
    raise AssertionError(kind)

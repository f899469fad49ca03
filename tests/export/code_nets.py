"""Random low-precision nets for the C program: shapes, formats, branches nobody would draw."""

from __future__ import annotations

import random

from tests.export.nets import input_layer, layer

__all__ = ["random_code_net"]

Shape = tuple[int, int, int]


def random_code_net(seed: int) -> str:
    """Text of a net of convolutions, poolings, sums, branches and moves, most of them rounded."""
    return _Drawn(random.Random(seed)).text()


class _Drawn:
    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.shapes: dict[str, Shape] = {"data": (draw.choice((1, 2, 4)), *self._size())}
        self.lines = [input_layer("data", 1, *self.shapes["data"])]
        self.rounded = {"data"}
        self._round("data")

    def text(self) -> str:
        for _ in range(self.draw.randint(3, 8)):
            self.draw.choice(
                [self._convolution, self._convolution, self._pool, self._sum, self._join,
                 self._slice, self._scale]
            )()  # fmt: skip
        if self.draw.random() < 0.5:
            name = self._pick()
            weights = self._weights("InnerProduct", "inner_product_param { num_output: 3 }")
            self.lines.append(layer("ip", name, "ip", weights))
        return "".join(self.lines)

    def _size(self) -> tuple[int, int]:
        return self.draw.choice(((1, 1), (5, 4), (9, 7), (1, 150), (12, 12), (3, 60)))

    def _pick(self) -> str:
        """A rounded blob: one of the last ones, mostly."""
        names = [name for name in self.shapes if name in self.rounded]
        return self.draw.choice(names[-3:] if self.draw.random() < 0.8 else names)

    def _round(self, name: str) -> None:
        bits = self.draw.choice((4, 8, 8, 8, 9, 16))
        rounding = self.draw.choice(("HALF_AWAY", "HALF_EVEN", "FLOOR"))
        point = f"kind: FIXED word_length: {bits} frac_length: {bits // 2} rounding: {rounding}"
        text = f'type: "LPAct" precision_param {{ activation {{ {point} }} }}'
        self.lines.append(layer(f"{name}_point", name, name, text))

    def _add(self, bottoms: str, text: str, shape: Shape, *, can_stay: bool = True) -> None:
        name = f"b{len(self.lines)}"
        self.lines.append(layer(name, bottoms, name, text))
        self.shapes[name] = shape
        self.rounded.add(name)
        if self.draw.random() < 0.4:
            slope = self.draw.choice(("", "relu_param { negative_slope: 0.25 }"))
            self.lines.append(layer(f"{name}_relu", name, name, f'type: "ReLU" {slope}'))
        if not can_stay or self.draw.random() < 0.7:
            self._round(name)

    def _weights(self, kind: str, form: str) -> str:
        bits = self.draw.choice((2, 8, 8, 16))
        number = f"{{ kind: FIXED word_length: {bits} frac_length: {bits - 1} }}"
        return f'type: "{kind}" {form} precision_param {{ weight {number} bias {number} }}'

    def _convolution(self) -> None:
        name = self._pick()
        channels, height, width = self.shapes[name]
        kernel = self.draw.choice([k for k in (1, 1, 2, 3) if k <= min(height, width)])
        stride = self.draw.choice((1, 1, 2))
        pad = self.draw.choice((0, kernel // 2))
        group = self.draw.choice([g for g in (1, 1, 2, channels) if channels % g == 0])
        count = group * self.draw.choice((1, 2))
        form = (
            f"convolution_param {{ num_output: {count} kernel_size: {kernel} stride: {stride}"
            f" pad: {pad} group: {group} }}"
        )
        if kernel > 1 and stride == 2 and group == 1 and self.draw.random() < 0.3:
            height, width = ((n - 1) * 2 + kernel - 2 * pad for n in (height, width))
            text = self._weights("Deconvolution", form)
        else:
            height, width = ((n + 2 * pad - kernel) // stride + 1 for n in (height, width))
            text = self._weights("Convolution", form)
        if min(height, width) > 0:
            self._add(name, text, (count, height, width), can_stay=False)

    def _pool(self) -> None:
        name = self._pick()
        channels, height, width = self.shapes[name]
        if min(height, width) < 3:
            return
        kind, stride, pad = self.draw.choice((("MAX", 2, 0), ("MAX", 1, 1), ("AVE", 2, 0)))
        form = f"pool: {kind} kernel_size: 3 stride: {stride} pad: {pad}"
        sizes = (-(-(n + 2 * pad - 3) // stride) + 1 for n in (height, width))
        self._add(name, f'type: "Pooling" pooling_param {{ {form} }}', (channels, *sizes))

    def _like(self, name: str) -> str:
        """A blob of the same shape; the same one where there is no other."""
        same = [other for other in self.shapes if self.shapes[other] == self.shapes[name]]
        return self.draw.choice(same)

    def _sum(self) -> None:
        name = self._pick()
        form = self.draw.choice(
            ("", "eltwise_param { operation: MAX }", "eltwise_param { coeff: 1 coeff: -0.5 }")
        )
        bottoms = f"{name} {self._like(name)}"
        self._add(bottoms, f'type: "Eltwise" {form}', self.shapes[name], can_stay=False)

    def _join(self) -> None:
        name = self._pick()
        other = self._like(name)
        channels, height, width = self.shapes[name]
        self._add(f"{name} {other}", 'type: "Concat"', (2 * channels, height, width))

    def _slice(self) -> None:
        name = self._pick()
        channels, height, width = self.shapes[name]
        if channels < 2:
            return
        at = self.draw.randrange(1, channels)
        tops = [f"s{len(self.lines)}", f"t{len(self.lines)}"]
        text = f'type: "Slice" slice_param {{ slice_point: {at} }}'
        self.lines.append(layer(tops[0], name, " ".join(tops), text))
        for top, count in zip(tops, (at, channels - at), strict=True):
            self.shapes[top] = (count, height, width)
            self.rounded.add(top)

    def _scale(self) -> None:
        name = self._pick()
        text = (
            'type: "Scale" scale_param { bias_term: true } precision_param { weight { kind: FIXED'
        )
        text += " word_length: 8 frac_length: 6 } }"
        self._add(name, text, self.shapes[name], can_stay=False)

"""Selection: which layers of a net an exported model holds, and where it begins and ends.

Data layers become inputs. Losses, accuracies and what only prepares labels for them stay out, and
so do layers without an ONNX form where nothing else reads them (DetectionOutput).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from adaption.errors import DataError, LayerError, UsageError, near_miss
from adaption.graph import LayerSpec, refuse_repeated
from adaption.net import Net
from adaption.net.finite import refuse_not_finite
from adaption.net.node import Node
from adaption.numerics import BinaryWeight

__all__ = [
    "Member",
    "Selection",
    "members",
    "refuse_moving",
    "refuse_nan",
    "refuse_unknown_inputs",
    "select",
]

Value = tuple[int, int]  # layer index, top index


@dataclass(frozen=True)
class Member:
    """One layer of the net. `spec` has the wiring of the prototxt, without Split layers."""

    spec: LayerSpec
    node: Node

    @property
    def measures(self) -> bool:
        """True for layers that measure or record, and compute nothing for other layers."""
        return self.node.layer.is_loss or self.node.layer.measures


@dataclass(frozen=True)
class Selection:
    """What is exported.

    `inputs` are blobs of Input and data layers, `outputs` blobs that are left unread, both by
    name; `notes` says what was left out, one sentence each.
    """

    inputs: tuple[str, ...]
    members: tuple[Member, ...]
    outputs: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def makers(self) -> dict[str, str]:
        """The last layer that makes each blob, by name."""
        return {blob: member.spec.name for member in self.members for blob in member.spec.tops}


def refuse_unknown_inputs(selection: Selection, formats: Iterable[str]) -> None:
    """Raises: UsageError when an input format is given for a blob that is no input."""
    unknown = [name for name in formats if name not in selection.inputs]
    if unknown:
        raise UsageError(
            f"an input format is given for {', '.join(map(repr, unknown))}, allowed:"
            f" {', '.join(map(repr, selection.inputs))}",
            near_miss(unknown[0], selection.inputs),
        )


def members(net: Net) -> list[Member]:
    """The net's layers without the Split layers that were inserted."""
    specs = iter(net.spec.layers)
    found = []
    wanted = next(specs, None)
    for node in net.nodes:
        if wanted is None or (node.spec.name, node.spec.type) != (wanted.name, wanted.type):
            continue
        found.append(Member(wanted, node))
        wanted = next(specs, None)
    return found


def select(net: Net) -> Selection:
    """Choose what of `net` is exported.

    Raises: UsageError unless the net is in phase TEST; WeightsError when weights are NaN or
        infinite; LayerError when layers with weights share a name, or nothing would be left.
    """
    if net.phase != "TEST":
        raise UsageError(
            f"the net is in phase {net.phase}, allowed: TEST",
            'build it with Net(..., phase="TEST")',
        )
    refuse_not_finite(net)
    refuse_repeated(net.spec, {node.spec.name for node in net.nodes if node.blobs})
    wiring = _Wiring(members(net))
    wiring.leave_out_labels()
    wiring.leave_out_ends_without_form()
    kept = wiring.kept()
    outputs = wiring.outputs()
    if not outputs:
        raise LayerError(
            "nothing is left to export: no layer of the net computes a blob that is left unread",
            "export a net that holds more than data layers, losses and accuracies",
        ).at(file=net.spec.file)
    return Selection(
        inputs=tuple(wiring.inputs()),
        members=tuple(wiring.layers[i] for i in kept),
        outputs=tuple(sorted(outputs)),
        left_out=tuple(m.spec.name for i, m in enumerate(wiring.layers) if i in wiring.out),
        notes=tuple(wiring.notes(outputs)),
    )


def refuse_moving(selection: Selection) -> None:
    """Raise LayerError where a format takes its grid from the tensor: nothing that is written once
    can hold it. (Weights of one bit are written with their scale.)"""
    for member in selection.members:
        for kind, fmt in member.node.formats.for_inference.items():
            if fmt.follows_tensor and not isinstance(fmt, BinaryWeight):
                raise LayerError(
                    f"{kind} format {fmt} moves with the tensor",
                    "make it static first: adaption freeze NET WEIGHTS -o DIR",
                ).at(layer=member.spec.name, layer_type=member.spec.type, line=member.spec.line)


def refuse_nan(selection: Selection, tops: Iterable[tuple[Member, str, npt.NDArray[Any]]]) -> None:
    """Raise DataError where an output is NaN, since two nets that give NaN prove nothing.

    Args:
        tops: what the layers made, in their order: layer, blob, values.
    """
    first: Member | None = None
    for member, blob, values in tops:
        if not np.isnan(values).any():
            continue
        first = first or member
        if blob in selection.outputs:
            raise DataError(
                "is the first layer that gives NaN", "look at the layer's weights and its inputs"
            ).at(line=first.spec.line, layer=first.spec.name, layer_type=first.spec.type)


@dataclass
class _Wiring:
    """Which top each bottom reads; `out` are the layers that are left out."""

    layers: list[Member]
    bottoms: list[list[Value]] = field(default_factory=list)
    readers: dict[Value, list[int]] = field(default_factory=dict)
    learned: set[Value] = field(default_factory=set)  # some layer with blobs lies before
    out: set[int] = field(default_factory=set)
    formless: set[int] = field(default_factory=set)  # of `out`: those without an ONNX form

    def __post_init__(self) -> None:
        latest: dict[str, Value] = {}
        for i, member in enumerate(self.layers):
            found = [latest[b] for b in member.spec.bottoms]
            self.bottoms.append(found)
            for value in found:
                self.readers.setdefault(value, []).append(i)
            tops = [(i, j) for j in range(len(member.spec.tops))]
            latest.update(zip(member.spec.tops, tops, strict=True))
            if member.node.blobs or any(v in self.learned for v in found):
                self.learned.update(tops)
        self.out = {i for i, member in enumerate(self.layers) if member.measures}

    def is_source(self, i: int) -> bool:
        return self.layers[i].node.layer.is_source

    def discards(self, i: int) -> bool:
        return self.layers[i].node.layer.discards

    def is_idle(self, i: int) -> bool:
        """True for a Silence layer that reads what is no input, since nothing else reads it."""
        return self.discards(i) and any(
            self.is_source(j) and not self.is_read((j, top)) for j, top in self.bottoms[i]
        )

    def is_read(self, value: Value) -> bool:
        """True when a layer that stays computes with it."""
        return any(r not in self.out and not self.discards(r) for r in self.readers.get(value, ()))

    def leave_out_labels(self) -> None:
        """Leave out, last layers first, what prepares labels: read by layers left out only, and
        made without learned blobs."""
        for i in reversed(range(len(self.layers))):
            tops = [(i, j) for j in range(len(self.layers[i].spec.tops))]
            if self.is_source(i) or i in self.out or not tops:
                continue
            if all(
                v not in self.learned
                and not self.is_read(v)
                and any(r in self.out for r in self.readers.get(v, ()))
                for v in tops
            ):
                self.out.add(i)

    def leave_out_ends_without_form(self) -> None:
        """Leave out, last layers first, what ONNX cannot say and no layer that stays reads."""
        for i in reversed(range(len(self.layers))):
            member = self.layers[i]
            if i in self.out or self.is_source(i) or member.node.layer.has_onnx_form:
                continue
            if not any(self.is_read((i, j)) for j in range(len(member.spec.tops))):
                self.out.add(i)
                self.formless.add(i)

    def kept(self) -> list[int]:
        return [
            i
            for i in range(len(self.layers))
            if i not in self.out and not self.is_source(i) and not self.is_idle(i)
        ]

    def inputs(self) -> Iterable[str]:
        for i, member in enumerate(self.layers):
            if self.is_source(i):
                yield from (t for j, t in enumerate(member.spec.tops) if self.is_read((i, j)))

    def outputs(self) -> list[str]:
        """Tops of kept layers that no kept layer reads, Silence layers included."""
        return [
            top
            for i in self.kept()
            for j, top in enumerate(self.layers[i].spec.tops)
            if not any(r not in self.out for r in self.readers.get((i, j), ()))
        ]

    def notes(self, outputs: list[str]) -> Iterable[str]:
        ends = ", ".join(f'"{name}"' for name in outputs)
        for what, indices in (
            ("layers that measure, record or prepare labels", self.out - self.formless),
            ("layers without an ONNX form", self.formless),
        ):
            gone = [self.layers[i] for i in sorted(indices)]
            listed = ", ".join(f'"{m.spec.name}" ({m.spec.type})' for m in gone)
            if gone:
                yield f"{what} are left out: {listed}; ends at {ends}"
        for i, member in enumerate(self.layers):
            if not self.is_source(i):
                continue
            unread = [t for j, t in enumerate(member.spec.tops) if not self.is_read((i, j))]
            if unread:
                names = ", ".join(f'"{t}"' for t in unread)
                yield f'top {names} of layer "{member.spec.name}" is no input: nothing reads it'
            if not member.spec.is_input and len(unread) < len(member.spec.tops):
                yield (
                    f'the top of data layer "{member.spec.name}" ({member.spec.type}) is an input:'
                    " scaling, mean and crop stay outside the model"
                )

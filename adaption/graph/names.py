"""Layers that share a name: weights, formats and reports go by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container

from adaption.errors import LayerError
from adaption.graph.spec import LayerSpec, NetSpec

__all__ = ["refuse_repeated", "repeated_notices"]


def repeated_notices(spec: NetSpec) -> list[str]:
    """A sentence for each name that several layers have."""
    return [
        f"{_where(spec, items)}: {len(items)} layers are {_called(name)}: weights and formats go by"
        " name; rename all but one"
        for name, items in _repeated(spec).items()
    ]


def refuse_repeated(spec: NetSpec, names: Container[str]) -> None:
    """Raise LayerError where several layers share one of these names."""
    for name, items in _repeated(spec).items():
        if name in names:
            raise LayerError(
                f"{len(items)} layers are {_called(name)}, of types"
                f" {', '.join(item.type for item in items)}; formats and weights go by name",
                "rename all but one, in the caffemodel, too (net.save writes it anew)",
            ).at(file=spec.file, line=items[-1].line)


def _repeated(spec: NetSpec) -> dict[str, list[LayerSpec]]:
    found: dict[str, list[LayerSpec]] = defaultdict(list)
    for item in spec.layers:
        found[item.name].append(item)
    return {name: items for name, items in found.items() if len(items) > 1}


def _where(spec: NetSpec, items: list[LayerSpec]) -> str:
    lines = ", ".join(str(item.line) for item in items if item.line is not None)
    return f"{spec.file or 'net'}:{lines}" if lines else spec.file or "net"


def _called(name: str) -> str:
    return f'called "{name}"' if name else "without a name"

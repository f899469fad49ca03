"""Every published net, and every net of models/, is widened into one that can be built, with the
same results; or it is refused for a reason."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from adaption.errors import AdaptionError
from adaption.graph import NetSpec, NetState, build_spec, with_inputs
from adaption.io.netfile import NetFile, read_net
from adaption.layers.shapes import shapes_of
from adaption.precision.widen import widen

ROOT = Path(__file__).resolve().parents[1]
MODELS = sorted(
    p
    for p in ROOT.glob("models/*/*.prototxt")
    if p.stem in ("deploy", "train_val", "deploy_lp")
    or (p.parent.name == "faster_rcnn_vgg16" and not p.stem.endswith("solver"))
)
SHARED = ROOT.parent / "shared"

# Why a net is refused, by what it is called.
REFUSED = {
    "crnn_train": 'layer "lstm1" (LSTM): is recurrent and no last layer',
    "lrcn_activity_train_lstm": 'layer "lstm1" (LSTM): is recurrent and no last layer',
    "mobilenet_v1_int8_intel": "(Convolution): has 32 values of quantization_param.scale_params",
}
GROUPED = ("alexnet", "resnext", "mobilenet", "shufflenet", "deeptextspotter")


def zoo() -> ModuleType:
    """tests/test_zoo.py, which knows the inputs of published nets."""
    spec = importlib.util.spec_from_file_location("zoo_nets", Path(__file__).parent / "test_zoo.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


ZOO = zoo()
PUBLISHED = [SHARED / "zoo" / n for n in ZOO.NETS if n not in ZOO.TEMPLATES]


def built(net: NetFile, path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of all blobs."""
    state = ZOO.STATES.get(path.stem, NetState())
    spec: NetSpec = build_spec(net.message, state, file=net.file, lines=net.lines)
    shapes: Mapping[str, tuple[int, ...]] = ZOO.INPUTS.get(path.stem, {})
    if path.is_relative_to(ROOT) and "label" in spec.layers[0].tops:
        first = read_net(path.with_name("deploy.prototxt")).message.layer[0]
        data = tuple(int(d) for d in first.input_param.shape[0].dim)
        shapes = {"data": data, "label": data[:1]}
    found = shapes_of(with_inputs(spec, shapes))
    return {name: shape for x in found for name, shape in zip(x.spec.tops, x.tops, strict=True)}


def check(path: Path, *factors: str) -> None:
    net = read_net(path)
    assert widen(net, factor=1).nets[0].text() == net.text()
    for factor in factors:
        if path.stem in REFUSED:
            with pytest.raises(AdaptionError) as caught:
                widen(net, factor=factor)
            assert REFUSED[path.stem] in str(caught.value)
            continue
        made = widen(net, factor=factor)
        assert any(x.after != x.before for x in made.layers)
        if path.parent.name == "faster_rcnn_vgg16" and path.stem != "test":
            continue  # its data layers are code that is not run
        before, after = built(net, path), built(made.nets[0], path)
        state = ZOO.STATES.get(path.stem, NetState())
        for name in build_spec(net.message, state).outputs:
            assert after.get(name) == before.get(name)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.stem)
def test_published(path: Path, shared: Path) -> None:
    check(path, "1.3" if path.stem.startswith(GROUPED) else "2")


@pytest.mark.slow
@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.stem)
def test_published_by_other_factors(path: Path, shared: Path) -> None:
    check(path, "2", "1.3", "1.5", "0.7")


@pytest.mark.parametrize("path", MODELS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_models(path: Path) -> None:
    check(path, "1.5")

"""A training step in low precision: its time and what it keeps, against the same float step.

The net is VGG-like, for CIFAR: 3 x 3 convolutions of 64, 128, 256 and 512 channels, two each, a
pool behind each pair, two inner products. A step is forward, backward and an SGD update. All
variants run in turn, round by round, in one process. "eager torch" is the same net in plain torch,
as are the peers, which are compared with it. Weights and activations have 8 bits everywhere; the
activation point is before each ReLU. Brevitas runs where it is installed.

"kept" is what lives between forward and backward: every storage that the graph of the pass (and in
our nets any blob) holds. Parameters are left out, and with them the rounded weights of
low-precision layers, which are blobs of the caffemodel.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from figures import NOT_INSTALLED, Figure, milliseconds
from torch import Tensor, nn
from turns import Settings, Spread, in_turn, ratios, spread_of

from adaption.graph import NetState, build_spec
from adaption.io import prototxt
from adaption.io.netfile import NetFile, from_document
from adaption.net import Net
from adaption.precision.measure import measure_net
from adaption.precision.propose import propose
from adaption.precision.rewrite import rewrite

ROWS = ("step", "kept")
TARGETS = {"deterministic": 1.05, "stochastic": 1.10}
PEERS = ("fake_quantize", "Brevitas")
BITS = 8
FILLER = 'weight_filler { type: "msra" }'


def vgg_like(batch: int, width: int) -> str:
    """The prototxt: `width`, 2, 4 and 8 times `width` channels."""
    text = f"""name: "vgg_like"
layer {{ name: "data" type: "Input" top: "data"
  input_param {{ shape {{ dim: {batch} dim: 3 dim: 32 dim: 32 }} }} }}
layer {{ name: "label" type: "Input" top: "label" input_param {{ shape {{ dim: {batch} }} }} }}
"""
    bottom = "data"
    for stage in range(1, 5):
        for i in (1, 2):
            name = f"conv{stage}_{i}"
            text += f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}"
  convolution_param {{ num_output: {width << (stage - 1)} kernel_size: 3 pad: 1 {FILLER} }} }}
layer {{ name: "relu{stage}_{i}" type: "ReLU" bottom: "{name}" top: "{name}" }}
"""
            bottom = name
        pool = f"pool{stage}"
        text += f"""layer {{ name: "{pool}" type: "Pooling" bottom: "{bottom}" top: "{pool}"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
"""
        bottom = pool
    return (
        text
        + f"""layer {{ name: "fc1" type: "InnerProduct" bottom: "{bottom}" top: "fc1"
  inner_product_param {{ num_output: {width * 8} {FILLER} }} }}
layer {{ name: "relu_fc1" type: "ReLU" bottom: "fc1" top: "fc1" }}
layer {{ name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2"
  inner_product_param {{ num_output: 10 {FILLER} }} }}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }}
"""
    )


@dataclass
class Batch:
    """What measure and the steps read."""

    blobs: dict[str, Tensor]
    names: list[str]


@dataclass(frozen=True)
class Variant:
    """One way to train: `forward` leaves a graph, `backward` and `update` finish the step."""

    name: str
    forward: Callable[[], object]
    backward: Callable[[], object]
    optimizer: torch.optim.Optimizer
    kept: Callable[[], Iterable[Tensor]]
    parameters: list[Tensor]

    def step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.forward()
        self.backward()
        self.optimizer.step()

    def kept_bytes(self) -> int:
        """Bytes of the distinct storages that the pass keeps."""
        self.optimizer.zero_grad(set_to_none=True)
        self.forward()
        own = {p.untyped_storage().data_ptr() for p in self.parameters}
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in self.kept()}
        self.backward()
        return sum(s.nbytes() for at, s in storages.items() if at not in own)


def saved_tensors(roots: Iterable[Tensor]) -> Iterator[Tensor]:
    """Every tensor that the graphs behind `roots` hold for their backward pass."""
    queue = [root.grad_fn for root in roots if root.grad_fn is not None]
    seen = set(queue)
    while queue:
        node = queue.pop()
        yield from getattr(node, "saved_tensors", ())
        for name in dir(node):
            if name.startswith("_saved_"):
                value = getattr(node, name)
                yield from (v for v in (value if isinstance(value, tuple) else (value,))
                            if isinstance(v, Tensor))  # fmt: skip
        for follower, _ in node.next_functions:
            if follower is not None and follower not in seen:
                seen.add(follower)
                queue.append(follower)


# -- our nets ------------------------------------------------------------------------------------


def our_variant(name: str, file: NetFile, batch: Batch) -> Variant:
    net = Net(build_spec(file.message, NetState("TRAIN")), seed=1)
    net.forward(batch.blobs)

    def kept() -> Iterator[Tensor]:
        for node in net.nodes:
            if node.tape is not None:
                yield from (*node.tape.bottoms, *node.tape.blobs, *node.tape.tops)
                yield from saved_tensors(node.tape.tops)
        yield from (blob.tensor for blob in net.blobs.values())

    parameters = [blob.tensor for blobs in net.params.values() for blob in blobs]
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    return Variant(name, net.forward, net.backward, optimizer, kept, parameters)


def our_variants(batch: Batch, text: str) -> list[Variant]:
    file = from_document(prototxt.parse(text))
    net = Net(build_spec(file.message, NetState()), seed=1)
    measured = measure_net(net, [batch])
    variants = [our_variant("float", file, batch)]
    for name, rounding in (("deterministic", "half_away"), ("stochastic", "stochastic")):
        plan = propose(net.spec, measured, bits=BITS, rounding=rounding)
        variants.append(our_variant(name, rewrite(file, plan), batch))
    return variants


# -- plain torch -----------------------------------------------------------------------------------


def fake_quantized(x: Tensor) -> Tensor:
    """8 bits, step 2^-5: which step it is makes no difference to the time."""
    return torch.fake_quantize_per_tensor_affine(x, 2.0**-5, 0, -127, 127)


class TorchNet(nn.Module):
    """The same layers as torch modules; `quantize` is applied to weights and activations."""

    def __init__(self, width: int, quantize: Callable[[Tensor], Tensor] | None) -> None:
        super().__init__()
        sizes = [3, *(width << stage for stage in range(4) for _ in range(2))]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes))
        self.fc1, self.fc2 = nn.Linear(width * 32, width * 8), nn.Linear(width * 8, 10)
        self.quantize = quantize or (lambda x: x)

    def forward(self, x: Tensor) -> Tensor:
        q = self.quantize
        for i, conv in enumerate(self.convs):
            assert isinstance(conv, nn.Conv2d)
            x = q(F.conv2d(x, q(conv.weight), conv.bias, padding=1)).relu_()
            if i % 2:
                x = F.max_pool2d(x, 2)
        x = q(F.linear(x.flatten(1), q(self.fc1.weight), self.fc1.bias)).relu_()
        return F.linear(x, q(self.fc2.weight), self.fc2.bias)


def brevitas_net(width: int) -> nn.Module:
    """Fixed-point weights and activations, scales that are powers of two, as Brevitas has them."""
    qnn = importlib.import_module("brevitas.nn")
    fixed = importlib.import_module("brevitas.quant.fixed_point")
    weight, act = fixed.Int8WeightPerTensorFixedPoint, fixed.Int8ActPerTensorFixedPoint
    sizes = [3, *(width << stage for stage in range(4) for _ in range(2))]
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(sizes)):
        layers += [
            qnn.QuantConv2d(a, b, 3, padding=1, weight_quant=weight),
            qnn.QuantIdentity(act_quant=act),
            nn.ReLU(inplace=True),
        ]
        layers += [nn.MaxPool2d(2)] if i % 2 else []
    layers += [
        nn.Flatten(),
        qnn.QuantLinear(width * 32, width * 8, True, weight_quant=weight),
        qnn.QuantIdentity(act_quant=act),
        nn.ReLU(inplace=True),
        qnn.QuantLinear(width * 8, 10, True, weight_quant=weight),
    ]
    return nn.Sequential(*layers)


def torch_variant(name: str, net: nn.Module, batch: Batch) -> Variant:
    x, label = batch.blobs["data"], batch.blobs["label"].long()
    state: dict[str, Tensor] = {}

    def forward() -> None:
        state["loss"] = F.cross_entropy(net(x), label)

    parameters = list(net.parameters())
    return Variant(
        name,
        forward,
        lambda: torch.autograd.backward(state["loss"]),
        torch.optim.SGD(parameters, lr=1e-3, momentum=0.9),
        lambda: saved_tensors([state["loss"]]),
        [p.detach() for p in parameters],
    )


def torch_variants(batch: Batch, width: int) -> list[Variant]:
    torch.manual_seed(1)
    variants = [
        torch_variant("eager torch", TorchNet(width, None), batch),
        torch_variant("fake_quantize", TorchNet(width, fake_quantized), batch),
    ]
    if importlib.util.find_spec("brevitas") is not None:
        variants.append(torch_variant("Brevitas", brevitas_net(width), batch))
    return variants


# -- the rows --------------------------------------------------------------------------------------


def figures(settings: Settings, rows: tuple[str, ...]) -> Iterator[Figure]:
    """Time and memory of deterministic and stochastic rounding, beside the peers'."""
    size, width = (16, 32) if settings.quick else (32, 64)
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(size, 3, 32, 32, generator=generator)
    label = torch.randint(10, (size,), generator=generator).float()
    batch = Batch({"data": data, "label": label}, [str(i) for i in range(size)])
    variants = our_variants(batch, vgg_like(size, width))
    variants += torch_variants(batch, width)
    by_name = {v.name: v for v in variants}
    what = f"VGG-like net, batch {size}, width {width}"
    if "step" in rows:
        rounds = settings.rounds_or(15, 5)
        seconds = in_turn({name: v.step for name, v in by_name.items()}, rounds)
        eager = seconds["eager torch"]
        peers: dict[str, Spread | str] = {
            name: ratios(seconds[name], eager) if name in seconds else NOT_INSTALLED
            for name in PEERS
        }
        peers["our float"] = ratios(seconds["float"], eager)
        for name, target in TARGETS.items():
            yield Figure(
                "step",
                f"{what}, {name}",
                milliseconds(seconds[name]),
                f"our float {milliseconds(seconds['float'])}",
                ratios(seconds[name], seconds["float"]),
                target=target,
                peers={f"{peer} / eager": value for peer, value in peers.items()}
                if name == "deterministic"
                else {},
            )
    if "kept" in rows:
        kept = {name: v.kept_bytes() for name, v in by_name.items()}
        shares: dict[str, Spread | str] = {
            f"{name} / eager": spread_of([kept[name] / kept["eager torch"]])
            if name in kept
            else NOT_INSTALLED
            for name in PEERS
        }
        for name in TARGETS:
            yield Figure(
                "kept",
                f"{what}, {name}",
                f"{kept[name] / 1e6:.1f} MB",
                f"our float {kept['float'] / 1e6:.1f} MB",
                spread_of([kept[name] / kept["float"]]),
                target=1.0,
                peers=shares if name == "deterministic" else {},
            )

"""A net under construction on NetSpec: layers in a row, with what training adds when asked for."""

from __future__ import annotations

from typing import Any

from adaption.proto.caffe_pb2 import NetParameter
from adaption.pycaffe import NetSpec, layers

__all__ = ["Body", "gaussian"]

XAVIER = {"type": "xavier"}


def gaussian(std: float) -> dict[str, Any]:
    return {"type": "gaussian", "std": std}


class Body:
    """Layers between the blob `data` and the class scores.

    train: with fillers, `param` specs, dropout and auxiliary losses.
    bias_decay: decay_mult of biases; Caffe's small examples leave it at 1, its large nets write 0.
    """

    def __init__(
        self, train: bool, filler: dict[str, Any] | None = None, *, bias_decay: int = 0
    ) -> None:
        self.train = train
        self.bias_decay = bias_decay
        self.filler = filler or XAVIER
        self.net = NetSpec()
        self.net["data"] = self.top = layers.Input()

    def add(self, name: str, kind: str, *bottoms: Any, **settings: Any) -> Any:
        """A layer on the latest top, or on `bottoms`; its top is the latest then."""
        self.top = getattr(layers, kind)(*(bottoms or (self.top,)), **settings)
        self.net[name] = self.top
        return self.top

    def conv(
        self,
        name: str,
        outputs: int,
        kernel: int,
        stride: int = 1,
        pad: int = 0,
        *,
        group: int = 1,
        bias: float | None = 0.0,
        bottom: Any = None,
        filler: dict[str, Any] | None = None,
    ) -> Any:
        """A convolution; `bias` None: without, else what it is filled with."""
        settings: dict[str, Any] = {"num_output": outputs, "kernel_size": kernel}
        settings |= {"stride": stride} if stride != 1 else {}
        settings |= {"pad": pad} if pad else {}
        settings |= {"group": group} if group != 1 else {}
        return self._weighted(name, "Convolution", settings, bias, filler, bottom)

    def fc(
        self, name: str, outputs: int, *, bias: float = 0.0, filler: dict[str, Any] | None = None
    ) -> Any:
        return self._weighted(name, "InnerProduct", {"num_output": outputs}, bias, filler, None)

    def _weighted(
        self,
        name: str,
        kind: str,
        settings: dict[str, Any],
        bias: float | None,
        filler: dict[str, Any] | None,
        bottom: Any,
    ) -> Any:
        if bias is None:
            settings["bias_term"] = False
        if self.train:
            settings["weight_filler"] = filler or self.filler
            settings["param"] = [{"lr_mult": 1, "decay_mult": 1}]
            if bias is not None:
                settings["param"].append({"lr_mult": 2, "decay_mult": self.bias_decay})
                settings["bias_filler"] = {"type": "constant", **({"value": bias} if bias else {})}
        return self.add(name, kind, *([] if bottom is None else [bottom]), **settings)

    def relu(self, name: str) -> Any:
        return self.add(name, "ReLU", in_place=True)

    def norm_scale(self, norm: str, scale: str) -> Any:
        """BatchNorm and Scale, in-place."""
        self.add(norm, "BatchNorm", in_place=True, **self.fixed(3))
        return self.add(scale, "Scale", in_place=True, bias_term=True, **self.free(2))

    def fixed(self, count: int) -> dict[str, Any]:
        """`param` specs of blobs that the solver leaves alone."""
        return {"param": [{"lr_mult": 0, "decay_mult": 0}] * count} if self.train else {}

    def free(self, count: int) -> dict[str, Any]:
        """`param` specs of blobs that learn and do not decay."""
        return {"param": [{"lr_mult": 1, "decay_mult": 0}] * count} if self.train else {}

    def lrn(self, name: str, **settings: Any) -> Any:
        return self.add(name, "LRN", **(settings or {"local_size": 5, "alpha": 1e-4, "beta": 0.75}))

    def pool(self, name: str, kernel: int, stride: int, method: str = "MAX", **more: Any) -> Any:
        return self.add(
            name, "Pooling", pool=_POOLS[method], kernel_size=kernel, stride=stride, **more
        )

    def global_pool(self, name: str) -> Any:
        return self.add(name, "Pooling", pool=_POOLS["AVE"], global_pooling=True)

    def dropout(self, name: str, ratio: float = 0.5) -> Any:
        return self.add(name, "Dropout", in_place=True, dropout_ratio=ratio)

    def message(self) -> NetParameter:
        """The layers, without the Input layer that stands for the data."""
        made = self.net.to_proto()
        del made.layer[0]
        return made


_POOLS = {"MAX": 0, "AVE": 1}

"""ImageData: batches of image files from a list `file label`. Caffe: image_data_layer.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from torch import Tensor

from adaption.data.base import Job
from adaption.data.feed import Feed, check_batch_size, check_source, new_rng, stack
from adaption.data.images import Entry, ImageSource, read_list
from adaption.data.transform import Transform
from adaption.errors import DataError, FieldError
from adaption.layers.base import Layer, Runtime, Shape, layer


@layer(
    "ImageData",
    param="image_data_param",
    bottoms=0,
    tops=2,
    is_source=True,
    refuses=("min_height", "min_width", "ignore_label", "label_type", "label_divide_factor"),
)
@dataclass(frozen=True)
class ImageData(Layer):
    source: str
    batch_size: int
    rand_skip: int
    shuffle: bool
    new_height: int
    new_width: int
    is_color: bool
    root_folder: str

    def check(self) -> None:
        check_batch_size("image_data_param", self.batch_size)
        if bool(self.new_height) != bool(self.new_width):
            name, other = ("new_width", "new_height")[:: 1 if self.new_height else -1]
            raise FieldError(f"image_data_param.{name}", 0, f"1 or more beside {other}")

    @cached_property
    def transform(self) -> Transform:
        return Transform.from_message(self.spec.message.transform_param)

    @cached_property
    def images(self) -> ImageSource:
        """The files of the list. Raises: DataError when it is empty or has no labels."""
        check_source("image_data_param", self.source)
        entries = read_list(self.source)
        if not entries or entries[0].label is None:
            raise DataError(
                "lists no files with labels",
                "write `file label` on every line, label 0 where there are no classes",
                file=self.source,
            )
        # Caffe joins strings here: root_folder has to end in a slash.
        entries = [Entry(self.root_folder + e.file, e.label) for e in entries]
        size = (self.new_height, self.new_width) if self.new_height else None
        path = Path(self.source)
        return ImageSource(path, "list", entries, is_color=self.is_color, size=size)

    @cached_property
    def _first_shape(self) -> Shape:
        return self.images[0].image.shape

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [
            (self.batch_size, *self.transform.top_shape(self._first_shape)),
            (self.batch_size,),
        ]

    def run(self, runtime: Runtime, *tensors: Tensor) -> list[Tensor]:
        if "feed" not in runtime.state:
            jobs = self._stream(new_rng(runtime)) if self.shuffle or self.rand_skip else self._all()
            runtime.state["feed"] = Feed(jobs, self.batch_size, is_decoded=True)
        return stack(runtime.state["feed"].take(), self.transform, runtime)

    def _all(self) -> Iterator[Job]:
        while True:
            yield from self.images.jobs()

    def _stream(self, rng: np.random.Generator) -> Iterator[Job]:
        skip = int(rng.integers(self.rand_skip)) if self.rand_skip else 0
        if skip >= len(self.images):
            raise FieldError(
                "image_data_param.rand_skip",
                self.rand_skip,
                f"at most the number of images ({len(self.images)})",
            )
        return islice(self._shuffled(rng) if self.shuffle else self._all(), skip, None)

    def _shuffled(self, rng: np.random.Generator) -> Iterator[Job]:
        while True:
            for index in rng.permutation(len(self.images)):
                yield self.images.job(int(index))

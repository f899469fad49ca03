"""ImageData: batches of image files from a list `file label`. Caffe: image_data_layer.cpp."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path

from adaption.data.base import Array, Job, Source
from adaption.data.feed import (
    FedLayer,
    Order,
    check_batch_size,
    check_source,
    job_batches,
    shuffled,
    skipped,
)
from adaption.data.images import Entry, ImageSource, open_list, read_list
from adaption.data.part import kept_samples
from adaption.data.transform import Transform
from adaption.errors import DataError, FieldError
from adaption.layers.base import Runtime, Shape, layer


@layer(
    "ImageData",
    param="image_data_param",
    kind="data",
    obeys_transform=True,
    takes_part=True,
    bottoms=0,
    tops=2,
    is_source=True,
)
@dataclass(frozen=True)
class ImageData(FedLayer):
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
        part = kept_samples(self.spec.message, len(entries))
        entries = [Entry(self.root_folder + entries[i].file, entries[i].label) for i in part]
        size = (self.new_height, self.new_width) if self.new_height else None
        path = Path(self.source)
        return ImageSource(path, "list", entries, is_color=self.is_color, size=size)

    def one_pass(self) -> tuple[Source, Transform | None]:
        transform = Transform.from_message(self.spec.message.transform_param, "TEST")
        if self.new_height and self.new_width:
            transform = replace(transform, resize=(self.new_height, self.new_width))
        root = self.root_folder or "."
        source = open_list(Path(self.source), root=root, is_color=self.is_color)
        return self.kept(source), transform

    def set_up_lines(self, top_shape: str) -> Iterator[tuple[str, str]]:
        yield "image_data_layer.cpp:38", f"Opening file {self.source}"
        yield "image_data_layer.cpp:68", f"output data size: {top_shape}"

    @cached_property
    def _first_shape(self) -> Shape:
        return self.images[0].image.shape

    def top_shapes(self, *bottoms: Shape) -> list[Shape]:
        return [
            (self.batch_size, *self.transform.top_shape(self._first_shape)),
            (self.batch_size,),
        ]

    def is_random(self, runtime: Runtime) -> bool:
        transform = self.transform.with_phase(runtime.phase)
        return self.shuffle or bool(self.rand_skip) or transform.is_random

    def batches(self, runtime: Runtime, order: Order) -> Iterator[Callable[[], list[Array]]]:
        transform = self.transform.with_phase(runtime.phase)
        yield from job_batches(self._jobs(order), order, self.batch_size, transform)

    def epoch_size(self) -> int:
        return len(self.images)

    def _jobs(self, order: Order) -> Iterator[Job]:
        skip = skipped(order.seed, self.rand_skip)
        size = len(self.images)
        if skip >= size:
            raise FieldError(
                "image_data_param.rand_skip",
                self.rand_skip,
                f"at most the number of images ({size})",
            )
        epoch, places = -1, None
        for number in count(order.start + skip, order.step):
            if self.shuffle and number // size != epoch:
                epoch = number // size
                places = shuffled(size, order.seed, epoch)
            place = number % size
            yield self.images.job(place if places is None else int(places[place]))

"""Flags that several verbs share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Literal, overload

from adaption.cli.flags import add_caffe_flag, add_flags, given, value_of, words_for
from adaption.errors import FieldError, UsageError

if TYPE_CHECKING:
    from adaption.data import Transform
    from adaption.glog import Log
    from adaption.numerics import FixedPoint

__all__ = [
    "add_also_flag",
    "add_caffe_flag",
    "add_calibration_flags",
    "add_data_flags",
    "add_file",
    "add_fold_flag",
    "add_gpu_flag",
    "add_input_flag",
    "add_output_flags",
    "add_preprocessing_flags",
    "also_of",
    "calibration_settings",
    "data_settings",
    "data_words",
    "device_of",
    "devices_of",
    "file_of",
    "input_format_of",
    "input_shapes_of",
    "log_of",
    "preprocessing_given",
    "preprocessing_words",
    "transform_of",
    "words_of",
]

CALIBRATION = ("calibration", "calibration_root", "calibration_limit")
PREPROCESSING = ("resize", "channel_order", "crop", "mean_value", "mean_file", "scale")


def add_file(parser: argparse.ArgumentParser, name: str, help: str) -> None:
    """A file that is given by its place, or as Caffe's flag `name`; read it with `file_of`."""
    parser.add_argument(f"{name}_by_place", nargs="?", metavar=name.upper(), help=help)
    add_caffe_flag(parser, name, metavar="FILE", help="the same as a flag")


@overload
def file_of(args: argparse.Namespace, name: str, *, required: Literal[True] = True) -> str: ...
@overload
def file_of(args: argparse.Namespace, name: str, *, required: Literal[False]) -> str | None: ...
def file_of(args: argparse.Namespace, name: str, *, required: bool = True) -> str | None:
    """What was given for `add_file`. Raises: UsageError when it is missing, or given twice."""
    found = [x for x in (getattr(args, name), getattr(args, f"{name}_by_place")) if x]
    if len(found) > 1:
        raise UsageError(
            f"--{name} is given twice: {found[0]!r} as a flag, {found[1]!r} by its place",
            "give each file once; beside flags, give all of them as flags",
        )
    if not found and required:
        raise UsageError(f"--{name} is missing", f"give --{name}=FILE, or the file by its place")
    return found[0] if found else None


def log_of(args: argparse.Namespace) -> Log:
    """Where Caffe's lines go: nowhere with --quiet or --json."""
    from adaption.glog import info, silent

    return silent if args.quiet or args.json else info


def devices_of(args: argparse.Namespace) -> list[str]:
    """All devices of --gpu; none where it is left out. Raises: UsageError, FieldError."""
    from adaption.report.devices import gpu_ids

    numbers = gpu_ids(args.gpu or "")
    if args.gpu and not numbers:
        raise UsageError(f"--gpu {args.gpu}: there is no GPU", "leave out --gpu to use the CPU")
    return [f"cuda:{number}" for number in numbers]


def device_of(args: argparse.Namespace, log: Log) -> str:
    """The device of a verb that uses one: the first GPU of --gpu, or "cpu".

    Raises: UsageError when there is no such GPU.
    """
    devices = devices_of(args)
    for device in reversed(devices[1:]):
        number = device.removeprefix("cuda:")
        log("caffe.cpp:265", f"Not using GPU #{number} for single-GPU function")
    return devices[0] if devices else "cpu"


def add_gpu_flag(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """--gpu of verbs that compute on one device."""
    add_caffe_flag(parser, "gpu", metavar="ID", help="compute on this GPU")


def add_data_flags(parser: argparse.ArgumentParser, *uses: str) -> None:
    """How a net is built and run over data: flags of RunOptions, `uses` beside the common ones.

    Of these, "device" is said with --gpu.
    """
    from adaption.options import COMMON, NET, RunOptions

    if "device" in uses:
        add_gpu_flag(parser)
        uses = tuple(use for use in uses if use != "device")
    add_flags(parser, RunOptions(), COMMON, *NET, *uses)


def data_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Keywords of calls that run a net over data: how it is prepared, and what is run."""
    from dataclasses import replace

    from adaption.options import RunOptions

    options = value_of(args, RunOptions())
    if getattr(args, "gpu", None):
        options = replace(options, device=device_of(args, log_of(args)))
    return {
        "transform": transform_of(args),
        "root": args.root,
        "options": options,
        "quiet": args.quiet or args.json,
    }


def add_calibration_flags(parser: argparse.ArgumentParser, help: str) -> None:
    """--calibration and what belongs to it."""
    parser.add_argument("--calibration", metavar="DATA", help=help)
    parser.add_argument(
        "--calibration-root", metavar="DIR", help="its --root (default: that of --data)"
    )
    parser.add_argument(
        "--calibration-limit", type=int, metavar="N", help="use N calibration samples at most"
    )


def calibration_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Keywords of calls that take calibration data."""
    return {name: getattr(args, name) for name in CALIBRATION}


def add_fold_flag(parser: argparse.ArgumentParser) -> None:
    """--fold-batch-norm of verbs that choose formats for a float net."""
    parser.add_argument(
        "--fold-batch-norm",
        action="store_true",
        help="first fold BatchNorm, Scale and Bias into the weight layer before them",
    )


def data_words(args: argparse.Namespace, *but: str) -> list[str]:
    """The flags of `add_data_flags` that were given, less those of some fields, for the command to
    type next."""
    from adaption.options import RunOptions

    said = {name: value for name, value in given(args, RunOptions).items() if name not in but}
    gpu = getattr(args, "gpu", None)
    return [*words_for(RunOptions, said), *([f"--gpu={gpu}"] if gpu else [])]


def add_also_flag(parser: argparse.ArgumentParser | argparse._ArgumentGroup, what: str) -> None:
    """--also NET OUT; `what` is done to a companion net."""
    parser.add_argument(
        "--also",
        nargs=2,
        action="append",
        default=[],
        metavar=("NET", "OUT"),
        help=f"another net over the same layers, {what} (may be given several times)",
    )


def also_of(args: argparse.Namespace) -> list[tuple[str, str]]:
    """The companion nets, each with its output."""
    return [(net, out) for net, out in args.also]


def add_output_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.add_argument("--quiet", action="store_true", help="show no progress and no hints")


def add_preprocessing_flags(parser: argparse.ArgumentParser) -> None:
    """Caffe's preprocessing, one flag per step; in the order in which the steps are done."""
    group = parser.add_argument_group(
        "preprocessing",
        "Done in this order: resize, channel order, crop, mirror, then (pixel - mean) * scale."
        " Arrays (npz, HDF5) count as preprocessed and are left alone unless a flag is given.",
    )
    group.add_argument(
        "--resize", metavar="N|HxW", help="shorter side to N, or height x width (bilinear)"
    )
    group.add_argument(
        "--channel-order", choices=("BGR", "RGB"), help="of colour images; Caffe nets take BGR"
    )
    group.add_argument("--crop", metavar="N|HxW", help="crop from the centre")
    group.add_argument("--random-crop", action="store_true", help="crop at a random place instead")
    group.add_argument("--mirror", action="store_true", help="mirror half of the images at random")
    group.add_argument(
        "--mean-value", metavar="V[,V,V]", help="one value, or one per channel (in channel order)"
    )
    group.add_argument("--mean-file", metavar="FILE", help="mean image, .binaryproto or .npy")
    group.add_argument(
        "--scale", type=float, metavar="S", help="factor after the mean, e.g. 0.00390625"
    )
    group.add_argument(
        "--root", metavar="DIR", help="folder that the files of an image list are relative to"
    )


def preprocessing_given(args: argparse.Namespace) -> list[str]:
    """Names of the flags of `add_preprocessing_flags` that were given."""
    values = (*PREPROCESSING, "root")
    switches = ("random_crop", "mirror")
    return [n for n in values if getattr(args, n) is not None] + [
        n for n in switches if getattr(args, n)
    ]


def preprocessing_words(args: argparse.Namespace) -> list[str]:
    """The flags of `add_preprocessing_flags` that were given, for the command to type next."""
    return words_of(args, *preprocessing_given(args))


def words_of(args: argparse.Namespace, *names: str) -> list[str]:
    """Those of the flags `names` that were given, for the command to type next."""
    words = []
    for name in names:
        flag, value = f"--{name.replace('_', '-')}", getattr(args, name)
        if value is not None and value is not False:
            words += [flag] if value is True else [flag, str(value)]
    return words


def transform_of(args: argparse.Namespace) -> Transform | None:
    """The Transform that the preprocessing flags describe; None when none is given.

    Raises: FieldError on a value that does not parse.
    """
    from adaption.data import Transform
    from adaption.data.transform import parse_size

    if not set(preprocessing_given(args)) - {"root"}:
        return None
    return Transform(
        resize=None if args.resize is None else parse_size(args.resize),
        channel_order=args.channel_order or "BGR",
        crop_size=0 if args.crop is None else parse_size(args.crop),
        mirror=args.mirror,
        mean_value=() if args.mean_value is None else _values(args.mean_value),
        mean_file=args.mean_file,
        scale=1.0 if args.scale is None else args.scale,
        phase="TRAIN" if args.random_crop else "TEST",
    )


def add_input_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="BLOB=SHAPE",
        help="shape of a blob that a data layer makes, where its data is not at hand:"
        " data=1x3x224x224 (may be given several times)",
    )


def input_shapes_of(args: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    """Shapes by blob that the flags --input give. Raises: FieldError."""
    return dict(shape_of(text) for text in args.input)


def shape_of(text: str) -> tuple[str, tuple[int, ...]]:
    """Blob and shape of "data=1x3x224x224". Raises: FieldError."""
    name, _, sizes = text.rpartition("=")
    parts = sizes.split("x")
    if not name or not all(p.isdecimal() for p in parts):
        raise FieldError("--input", text, "BLOB=SHAPE", "write --input data=1x3x224x224")
    return name, tuple(int(p) for p in parts)


def _values(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise FieldError(
            "--mean-value", text, "numbers with commas between", "write --mean-value 104,117,123"
        ) from None


def input_format_of(text: str) -> tuple[str, FixedPoint]:
    """`data=Q9.7` as ("data", that format); A8 is a format of WRPN."""
    from adaption.numerics import FixedPoint, parse_format

    name, separator, form = text.rpartition("=")
    if not separator or not name:
        raise FieldError("--input-format", text, "BLOB=Qm.f", "write --input-format data=Q9.-1")
    fmt = parse_format(form) if form[:1] == "A" else FixedPoint.q(form)
    if not isinstance(fmt, FixedPoint):
        raise FieldError("--input-format", text, "BLOB=Qm.f or BLOB=Ak")
    return name, fmt

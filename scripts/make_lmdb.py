"""Turn images into an LMDB for Data layers, as Caffe's convert_imageset and its like do.

    python scripts/make_lmdb.py train.txt train_lmdb --root images/ --resize 256 --shuffle
    python scripts/make_lmdb.py train-images-idx3-ubyte.gz mnist_train_lmdb
    python scripts/make_lmdb.py cifar10_train_jpeg.npz cifar10_train_lmdb --channel-order RGB \\
        --mean mean.binaryproto

The source is anything `--data` of adaption quantize takes: a list of `file label`, a folder of
images or of class folders, idx files (the labels are found by name), an .npz of arrays or of
compressed images, HDF5, or another LMDB or LevelDB.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from adaption.data import Source, open_source
from adaption.data.lmdb_writer import DatumForm, datum_records, mean_image, write_lmdb
from adaption.data.transform import parse_size
from adaption.errors import AdaptionError, counted
from adaption.io.blobproto import write_mean
from adaption.report import track


def main(argv: list[str] | None = None) -> int:
    """Write the LMDB, and the mean where it is asked for. Returns the exit code."""
    args = parser().parse_args(argv)
    try:
        run(args)
    except AdaptionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """The flags, convert_imageset's where it has them."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("source", type=Path, help="images, see above")
    made.add_argument("out", type=Path, help="the LMDB to write; must not exist")
    made.add_argument("--root", type=Path, help="folder that the files of a list are relative to")
    made.add_argument("--gray", action="store_true", help="store one channel")
    made.add_argument("--shuffle", action="store_true", help="shuffle the samples")
    made.add_argument("--seed", type=int, default=0, help="of --shuffle (default 0)")
    made.add_argument("--resize", metavar="HxW", help="height x width; 256 is 256x256")
    made.add_argument("--encoded", action="store_true", help="keep images compressed")
    made.add_argument(
        "--encode-type", choices=("jpg", "png"), help="compress in this form; implies --encoded"
    )
    made.add_argument(
        "--channel-order", choices=("BGR", "RGB"), default="BGR", help="of raw values (BGR)"
    )
    made.add_argument(
        "--pad", type=int, default=0, metavar="N", help="N rows and columns of zeros on each side"
    )
    made.add_argument("--mean", type=Path, help="write the mean image here, .binaryproto or .npy")
    made.add_argument("--quiet", action="store_true", help="no progress, no summary")
    return made


def run(args: argparse.Namespace) -> None:
    """What `main` does, raising errors."""
    source = open_source(args.source, is_color=False if args.gray else None, root=args.root)
    size = parse_size(args.resize) if args.resize else None
    form = DatumForm(
        size=(size, size) if isinstance(size, int) else size,
        encoding=args.encode_type or ("same" if args.encoded else ""),
        channel_order=args.channel_order,
        pad=args.pad,
    )
    records = datum_records(source, form, shuffle_seed=args.seed if args.shuffle else None)
    shown = track(records, "writing", len(source), quiet=args.quiet, unit="samples")
    count = write_lmdb(args.out, shown)
    if not args.quiet:
        print(f"{args.out}: {count} records")
        for note in _notes(source):
            print(note)
    if args.mean is not None:
        written = open_source(args.out)
        mean = mean_image(track(written, "mean", len(written), quiet=args.quiet, unit="samples"))
        write_mean(args.mean, mean)
        if not args.quiet:
            channels = ", ".join(f"{v:.6g}" for v in mean.mean(axis=(1, 2)))
            print(f"{args.mean}: mean image of shape {mean.shape}, per channel {channels}")


def _notes(source: Source) -> list[str]:
    notes = list(source.notes)
    if source.skipped:
        first = source.skipped[0]
        notes.append(
            f"left out {counted(len(source.skipped), 'sample')} that could not be read; the first:"
            f" {first.name}: {first.reason}"
        )
    return notes


if __name__ == "__main__":
    sys.exit(main())

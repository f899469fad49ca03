"""Limits of memory: by what a file stores, by the machine, and by what the user says."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaption
from adaption.cli.main import main
from adaption.errors import AdaptionError, DataError, FieldError, ResourceError
from adaption.io import limits
from adaption.io.limits import (
    DEFAULT,
    ENVIRONMENT,
    bytes_of,
    check_machine,
    check_size,
    memory_limit,
    size_text,
)
from adaption.io.netfile import from_document
from adaption.io.prototxt import parse

LENET = Path(__file__).parents[2] / "models" / "lenet_digits"


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 8 GiB, without a limit in the environment."""
    monkeypatch.setattr(limits, "machine_memory", lambda: 8 << 30)
    monkeypatch.delenv(ENVIRONMENT, raising=False)


@pytest.mark.parametrize(
    ("text", "size"),
    [(4096, 4096), ("512M", 512 << 20), ("8G", 8 << 30), ("1.5 GiB", 3 << 29), ("10kb", 10240)],
)
def test_sizes(text: int | str, size: int) -> None:
    assert bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "8X", "1e9", "G", "9" * 40, 0])
def test_bad_sizes(text: Any) -> None:
    with pytest.raises(FieldError, match="allowed: a number of bytes, as in 512M or 8G"):
        bytes_of(text)


@pytest.mark.parametrize(
    ("size", "stored", "is_allowed"),
    [
        (DEFAULT, None, True),
        (DEFAULT + 1, None, False),
        (256 << 20, 10, True),
        ((256 << 20) + 1, 10, False),
        (1000 << 20, 10 << 20, True),
        (1001 << 20, 10 << 20, False),
        (DEFAULT + 1, DEFAULT, False),
    ],
)
def test_what_is_allowed(size: int, stored: int | None, is_allowed: bool) -> None:
    if is_allowed:
        check_size(size, "it", stored=stored)
    else:
        with pytest.raises(ResourceError, match=r"^it takes .* of memory, the limit"):
            check_size(size, "it", stored=stored)


def test_the_message() -> None:
    with pytest.raises(DataError) as caught:
        check_size(3 << 30, "an image of 40000x27000 pixels", stored=1 << 20, error=DataError)
    assert str(caught.value) == (
        "an image of 40000x27000 pixels takes 3.0 GiB of memory, the limit for what is stored in"
        " 1.0 MiB is 256.0 MiB\n  fix: if it is as it should be, raise the limit:"
        ' --memory-limit 3G, memory_limit="3G"'
    )
    with pytest.raises(ResourceError, match="fix: correct the sizes that it follows from"):
        check_size(1 << 70, "it")


def test_the_users_limit_counts_in_all_threads_and_child_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int | None] = []
    with memory_limit("6G"):
        check_size(6 << 30, "it", stored=10)
        thread = threading.Thread(target=lambda: seen.append(limits.given_limit()))
        thread.start()
        thread.join()
        with memory_limit(1000), pytest.raises(ResourceError):
            check_size(1001, "it")
        assert limits.os.environ[ENVIRONMENT] == str(6 << 30)
    assert seen == [6 << 30]
    assert limits.given_limit() is None and ENVIRONMENT not in limits.os.environ
    monkeypatch.setenv(ENVIRONMENT, "2000")
    assert limits.given_limit() == 2000


def test_a_net_has_to_fit_the_machine() -> None:
    check_machine(8 << 30, "the net")
    with pytest.raises(ResourceError, match=r"takes 9.0 GiB of memory, this machine has 8.0 GiB"):
        check_machine(9 << 30, "the net")
    with memory_limit("9G"):
        check_machine(9 << 30, "the net")


def test_size_text() -> None:
    assert [size_text(n) for n in (10, 2048, 3 << 19, 1 << 200)] == [
        "10 bytes",
        "2.0 KiB",
        "1.5 MiB",
        "1099511627776.0 EiB",
    ]


INPUT = 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 } '
BLOBS = {
    "num_output": 'layer { name: "c" type: "Convolution" bottom: "data" top: "c"'
    " convolution_param { num_output: 2000000000 kernel_size: 3 } }",
    "input": 'layer { name: "i" type: "Input" top: "i"'
    " input_param { shape { dim: 100000 dim: 100000 } } }",
    "inner product": 'layer { name: "f" type: "InnerProduct" bottom: "data" top: "f"'
    " inner_product_param { num_output: 100000000 } }",
    "tile": 'layer { name: "t" type: "Tile" bottom: "data" top: "t"'
    " tile_param { axis: 1 tiles: 100000000 } }",
    "dummy data": 'layer { name: "d" type: "DummyData" top: "d"'
    " dummy_data_param { shape { dim: 100000 dim: 100000 } } }",
    "embed": 'layer { name: "e" type: "Embed" bottom: "data" top: "e"'
    " embed_param { num_output: 100000 input_dim: 1000000 } }",
}


@pytest.mark.parametrize("name", BLOBS)
def test_enormous_blobs_are_refused_before_they_are_made(name: str) -> None:
    with pytest.raises(ResourceError) as caught:
        adaption.Net(from_document(parse(INPUT + BLOBS[name])))
    assert caught.value.layer is not None
    assert "of memory, the limit is 4.0 GiB" in str(caught.value)


def test_many_blobs_that_fit_alone_and_not_together() -> None:
    layers = "".join(
        f'layer {{ name: "i{i}" type: "Input" top: "i{i}"'
        " input_param { shape { dim: 700000000 } } }"
        for i in range(4)
    )
    with pytest.raises(ResourceError, match=r'the net, up to top "i3", takes 10.4 GiB of memory'):
        adaption.Net(from_document(parse(layers)))


def test_the_flag_and_the_keyword(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "d.npz"
    np.savez_compressed(data, data=np.zeros((10, 1, 8, 8), np.float32))
    command = [str(LENET / "deploy.prototxt"), str(LENET / "lenet_digits.caffemodel")]
    flags = ["--data", str(data), "-o", str(tmp_path / "m.json"), "--quiet"]
    assert main(["measure", *command, *flags, "--memory-limit", "2k"]) == 2
    assert "takes 2.5 KiB of memory, the limit is 2.0 KiB" in capsys.readouterr().err
    with pytest.raises(AdaptionError, match=r"takes 2.5 KiB of memory, the limit is 2.0 KiB"):
        adaption.measure(command[0], command[1], data, memory_limit="2k", quiet=True)
    assert main(["measure", *command, *flags, "--memory-limit", "1M"]) == 0

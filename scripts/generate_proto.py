"""Write adaption/proto/caffe_pb2.py, .pyi and caffe.desc from protos/caffe.proto.

    python scripts/generate_proto.py            writes the files
    python scripts/generate_proto.py --check    writes nothing, exits 1 when they are out of step

Needs grpcio-tools (development only). protoc's own Python output is not used: it registers the
file in protobuf's default pool, where an installed pycaffe registers another caffe.proto.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "protos" / "caffe.proto"
MODULE = ROOT / "adaption" / "proto" / "caffe_pb2.py"
STUB = MODULE.with_suffix(".pyi")
DATA = MODULE.with_name("caffe.desc")

HEADER = '''"""Message classes of protos/caffe.proto. Generated: do not edit.

By: scripts/generate_proto.py
caffe.proto sha256: {sha}
"""
# ruff: noqa
# fmt: off
'''

MODULE_BODY = """
from pkgutil import get_data as _get_data

from google.protobuf.descriptor_pool import DescriptorPool as _DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper as _EnumTypeWrapper
from google.protobuf.message import Message as Message
from google.protobuf.message_factory import GetMessageClass as _GetMessageClass

# A pool of our own: the default one may hold the caffe.proto of an installed pycaffe.
_POOL = _DescriptorPool()
_POOL.AddSerializedFile(_get_data("adaption.proto", "{data}"))
DESCRIPTOR = _POOL.FindFileByName("caffe.proto")


def _message(name):
    cls = _GetMessageClass(DESCRIPTOR.message_types_by_name[name])
    cls.__module__ = __name__  # pickle finds the class by module and name
    return cls


def _enum(name):
    return _EnumTypeWrapper(DESCRIPTOR.enum_types_by_name[name])


{names}
"""

STUB_HEAD = """
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, SupportsIndex, TypeVar, overload

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Message)

DESCRIPTOR: Any

class Message:
    DESCRIPTOR: ClassVar[Any]
    def ByteSize(self) -> int: ...
    def Clear(self) -> None: ...
    def ClearField(self, field_name: str) -> None: ...
    def CopyFrom(self, other_msg: Self) -> None: ...
    def FindInitializationErrors(self) -> list[str]: ...
    @classmethod
    def FromString(cls, s: bytes) -> Self: ...
    def HasField(self, field_name: str) -> bool: ...
    def IsInitialized(self) -> bool: ...
    def ListFields(self) -> list[tuple[Any, Any]]: ...
    def MergeFrom(self, other_msg: Self) -> None: ...
    def MergeFromString(self, serialized: bytes | memoryview) -> int: ...
    def ParseFromString(self, serialized: bytes | memoryview) -> int: ...
    def SerializePartialToString(self, *, deterministic: bool = ...) -> bytes: ...
    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...
    def SetInParent(self) -> None: ...

class _Repeated(Sequence[_T]):
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> list[_T]: ...
    def __delitem__(self, index: SupportsIndex | slice) -> None: ...
    def append(self, value: _T) -> None: ...
    def extend(self, values: Iterable[_T]) -> None: ...
    def insert(self, index: int, value: _T) -> None: ...
    def pop(self, index: int = ...) -> _T: ...
    def remove(self, value: _T) -> None: ...
    def reverse(self) -> None: ...
    def sort(self, *, key: Any = ..., reverse: bool = ...) -> None: ...
    def MergeFrom(self, other: Self) -> None: ...

class _Scalars(_Repeated[_T]):
    @overload
    def __setitem__(self, index: SupportsIndex, value: _T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[_T]) -> None: ...

class _Messages(_Repeated[_M]):
    def add(self, **fields: Any) -> _M: ...

class _Enum:
    DESCRIPTOR: Any
    def Name(self, number: int) -> str: ...
    def Value(self, name: str) -> int: ...
    def keys(self) -> list[str]: ...
    def values(self) -> list[int]: ...
    def items(self) -> list[tuple[str, int]]: ...
"""

_KINDS = {
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_BYTES: "bytes",
    FieldDescriptorProto.TYPE_DOUBLE: "float",
    FieldDescriptorProto.TYPE_FLOAT: "float",
    FieldDescriptorProto.TYPE_STRING: "str",
}


def describe(proto: Path) -> FileDescriptorProto:
    """Compile one .proto file without imports; comments and JSON names are left out."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.bin"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{proto.parent}"]
        subprocess.run([*command, f"--descriptor_set_out={out}", proto.name], check=True)
        file = FileDescriptorSet.FromString(out.read_bytes()).file[0]
    for message in file.message_type:
        if message.nested_type:  # protobuf looks nested classes up in its default pool to unpickle
            raise SystemExit(
                f"{proto.name}: {message.name} holds a message; move it to the top level"
            )
        for field in message.field:
            field.ClearField("json_name")
    return file


def digest(proto: Path) -> str:
    """SHA-256 of the text with Unix line ends, so that a Windows checkout has the same one."""
    return hashlib.sha256(proto.read_text(encoding="utf-8").encode()).hexdigest()


def module_text(file: FileDescriptorProto, sha: str) -> str:
    names = [f'{m.name} = _message("{m.name}")' for m in file.message_type]
    for enum in file.enum_type:
        names.append(f'{enum.name} = _enum("{enum.name}")')
        names.extend(f"{value.name} = {value.number}" for value in enum.value)
    body = MODULE_BODY.format(data=DATA.name, names="\n".join(names))
    return HEADER.format(sha=sha) + body


def stub_text(file: FileDescriptorProto, sha: str) -> str:
    lines: list[str] = []
    for enum in file.enum_type:
        lines += ["", *enum_stub(enum, "{}")]
    for message in file.message_type:
        lines += ["", *message_stub(message)]
    return HEADER.format(sha=sha) + STUB_HEAD + "\n".join(lines) + "\n"


def enum_stub(enum: EnumDescriptorProto, variable: str) -> Iterator[str]:
    """Lines of one enum; `variable` wraps the type: "{}" in a module, "ClassVar[{}]" in a class."""
    yield f"class _{enum.name}(_Enum):"
    yield from (f"    {value.name}: int" for value in enum.value)
    yield ""
    yield f"{enum.name}: {variable.format('_' + enum.name)}"
    yield from (f"{value.name}: {variable.format('int')}" for value in enum.value)


def message_stub(message: DescriptorProto) -> Iterator[str]:
    yield f"class {message.name}(Message):"
    for enum in message.enum_type:
        yield from (f"    {line}".rstrip() for line in enum_stub(enum, "ClassVar[{}]"))
    for field in message.field:
        yield f"    {field.name.upper()}_FIELD_NUMBER: ClassVar[int]"
    for field in message.field:
        yield from field_stub(field)
    yield from ("    def __init__(", "        self,", "        *,")
    yield from (f"        {field.name}: {argument_type(field)} = ...," for field in message.field)
    yield "    ) -> None: ..."


def field_stub(field: FieldDescriptorProto) -> list[str]:
    """A scalar is an attribute; messages and repeated fields cannot be assigned, only filled."""
    kind = field_type(field)
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        container = "_Messages" if is_message(field) else "_Scalars"
        kind = f"{container}[{kind}]"
    elif not is_message(field):
        return [f"    {field.name}: {kind}"]
    return ["    @property", f"    def {field.name}(self) -> {kind}: ..."]


def argument_type(field: FieldDescriptorProto) -> str:
    kind = field_type(field)
    if is_message(field):
        kind += " | Mapping[str, Any]"
    elif field.type == FieldDescriptorProto.TYPE_ENUM:
        kind += " | str"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        kind = f"Iterable[{kind}]"
    return f"{kind} | None"


def field_type(field: FieldDescriptorProto) -> str:
    if is_message(field):
        name: str = field.type_name.removeprefix(".caffe.")
        return name
    return _KINDS.get(field.type, "int")  # every integer kind, and enums


def is_message(field: FieldDescriptorProto) -> bool:
    return bool(field.type == FieldDescriptorProto.TYPE_MESSAGE)


def _with_unix_ends(path: Path) -> bytes:
    """A Windows checkout counts as in step; data are taken as they are."""
    data = path.read_bytes()
    return data if path == DATA else data.replace(b"\r\n", b"\n")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 on a change")
    check = parser.parse_args(argv).check
    file, sha = describe(PROTO), digest(PROTO)
    stale = False
    made = {
        MODULE: module_text(file, sha).encode(),
        STUB: stub_text(file, sha).encode(),
        DATA: file.SerializeToString(deterministic=True),
    }
    for path, content in made.items():
        if path.exists() and _with_unix_ends(path) == content:
            continue
        stale = True
        name = path.relative_to(ROOT).as_posix()
        if check:
            print(f"{name} is out of step with {PROTO.relative_to(ROOT).as_posix()}")
            print("  fix: python scripts/generate_proto.py")
        else:
            path.write_bytes(content)
            print(f"wrote {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

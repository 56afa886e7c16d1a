"""The messages of EventStoreDB's protocol as Google's protobuf reads and writes them.

The client package generates its messages for betterproto, which takes about 400 microseconds each.
Their definitions are handed to protobuf here, whose C code takes one: an independent implementation
that the adapter's own codec is checked against.
"""

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, Final

import infra.eventstoredb.client_package  # noqa: F401 - the imports below need it

# isort: split
import betterproto
from betterproto.lib.google.protobuf import Duration, Timestamp
from eventstoredb.generated.event_store.client import Empty, WrongExpectedVersion
from eventstoredb.generated.event_store.client.gossip import ClusterInfo
from eventstoredb.generated.event_store.client.streams import (
    AppendReq,
    AppendResp,
    BatchAppendReq,
    BatchAppendResp,
    DeleteReq,
    DeleteResp,
    ReadReq,
    ReadResp,
    TombstoneReq,
    TombstoneResp,
)
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_ROOTS: Final[tuple[Any, ...]] = (
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, ClusterInfo, DeleteReq, DeleteResp,
    Empty, ReadReq, ReadResp, TombstoneReq, TombstoneResp, WrongExpectedVersion,
)  # fmt: skip
_GOOGLES: Final[dict[Any, Any]] = {datetime: Timestamp, timedelta: Duration}
"""What betterproto makes of two of Google's messages."""
_PACKAGE: Final = "standin"
_FILE: Final = "standin.proto"


class _FileBuilder:
    """The file of all messages that some messages of betterproto are made of."""

    def __init__(self) -> None:
        self.file = FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
        self._done: set[str] = set()

    def add(self, kind: Any) -> str:
        """Add a message and those in it; its name."""
        kind = _GOOGLES.get(kind, kind)
        name = message_name(kind)
        if name not in self._done:
            self._done.add(name)
            message = DescriptorProto(name=name)
            for field in fields(kind):
                self._add_field(message, kind, field.name, field.metadata["betterproto"])
            self.file.message_type.append(message)
        return name

    def _add_field(self, message: DescriptorProto, kind: Any, name: str, meta: Any) -> None:
        made = message.field.add(name=name, number=meta.number, label="LABEL_OPTIONAL")
        if meta.group is not None:
            groups = [group.name for group in message.oneof_decl]
            if meta.group not in groups:
                message.oneof_decl.add(name=meta.group)
                groups.append(meta.group)
            made.oneof_index = groups.index(meta.group)
        elif kind()._betterproto.default_gen[name] is list:
            made.label = FieldDescriptorProto.LABEL_REPEATED
        if meta.proto_type == betterproto.TYPE_MAP:
            entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
            entry.options.map_entry = True
            for number, part in enumerate(("key", "value"), start=1):
                entry.field.add(
                    name=part, number=number, type="TYPE_STRING", label="LABEL_OPTIONAL"
                )
            made.label = FieldDescriptorProto.LABEL_REPEATED
            made.type = FieldDescriptorProto.TYPE_MESSAGE
            made.type_name = f".{_PACKAGE}.{message.name}.{entry.name}"
        elif meta.proto_type == betterproto.TYPE_MESSAGE:
            made.type = FieldDescriptorProto.TYPE_MESSAGE
            inner = self.add(kind()._betterproto.cls_by_field[name])
            made.type_name = f".{_PACKAGE}.{inner}"
        else:
            kind_name = "int32" if meta.proto_type == betterproto.TYPE_ENUM else meta.proto_type
            made.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind_name.upper()}")


def message_name(kind: Any) -> str:
    """Unique among all modules of the package."""
    return f"{kind.__module__}_{kind.__name__}".replace(".", "_")


def _make_messages() -> dict[Any, Any]:
    builder = _FileBuilder()
    names = {kind: builder.add(kind) for kind in _ROOTS}
    pool = DescriptorPool()
    pool.AddSerializedFile(builder.file.SerializeToString())
    return {
        kind: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for kind, name in names.items()
    }


PROTOBUF_MESSAGES: Final = _make_messages()
"""Protobuf's class of each message of betterproto that a call carries."""

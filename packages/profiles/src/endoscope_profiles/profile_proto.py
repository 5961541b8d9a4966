"""The messages of pprof's format, as far as a heap profile needs them.

Names and numbers are those of `proto/profile.proto` in github.com/google/pprof, package
`perftools.profiles`. The classes are made in a pool of their own: a host may have made its own
of the same names, in the pool that all share, and a second description of them there is an
error.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "perftools.profiles"

_SCALARS = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
}

_MESSAGES = {
    "Profile": {
        "sample_type": (1, "repeated ValueType"),
        "sample": (2, "repeated Sample"),
        "mapping": (3, "repeated Mapping"),
        "location": (4, "repeated Location"),
        "function": (5, "repeated Function"),
        # `string` there, which is written alike. But not all who write it know of UTF-8.
        "string_table": (6, "repeated bytes"),
        "time_nanos": (9, "int64"),
        "duration_nanos": (10, "int64"),
        "period_type": (11, "ValueType"),
        "period": (12, "int64"),
        "comment": (13, "repeated int64"),
        "default_sample_type": (14, "int64"),
    },
    "ValueType": {"type": (1, "int64"), "unit": (2, "int64")},
    "Sample": {
        "location_id": (1, "repeated uint64"),
        "value": (2, "repeated int64"),
        "label": (3, "repeated Label"),
        # Not there: the variance of each value. Readers skip a field that they do not know,
        # and what can be made of the other fields is no more than a guess.
        "variance": (2047, "repeated double"),
    },
    "Label": {"key": (1, "int64"), "num": (3, "int64"), "num_unit": (4, "int64")},
    "Mapping": {
        "id": (1, "uint64"),
        "filename": (5, "int64"),
        "build_id": (6, "int64"),
        "has_functions": (7, "bool"),
    },
    "Location": {
        "id": (1, "uint64"),
        "mapping_id": (2, "uint64"),
        "address": (3, "uint64"),
        "line": (4, "repeated Line"),
    },
    "Line": {"function_id": (1, "uint64"), "line": (2, "int64")},
    "Function": {"id": (1, "uint64"), "name": (2, "int64"), "filename": (4, "int64")},
}


def _field(name: str, number: int, kind: str) -> FieldDescriptorProto:
    label, _, type_name = kind.rpartition(" ")
    field = FieldDescriptorProto(name=name, number=number)
    field.label = field.LABEL_REPEATED if label else field.LABEL_OPTIONAL
    if type_name in _SCALARS:
        field.type = _SCALARS[type_name]
    else:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{type_name}"
    return field


def _profile_class() -> Any:
    file = FileDescriptorProto(name="profile.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        message.field.extend(_field(each, *what) for each, what in fields.items())
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Profile"))


ProfileMessage: Any = _profile_class()
"""The class of the outermost message. Its attributes are known at run time only."""

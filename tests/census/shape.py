"""What the types of an SDK say of the JSON on the wire, as shapes: TypedDicts, pydantic models, a service's model, and what they
are made of."""

import collections.abc
import datetime
import enum
import functools
import inspect
import os
import types
import typing
from dataclasses import dataclass, field

import botocore.model
import pydantic
import typing_extensions


@dataclass(frozen=True)
class Text:
    """A string; `words` are the ones it may be, where a type lists them."""

    words: tuple = ()
    #: Bytes, as base64 on the wire.
    base64: bool = False


@dataclass(frozen=True)
class Plain:
    """A number or a boolean."""

    value: object


@dataclass(frozen=True)
class Nothing:
    """`null`."""


@dataclass(frozen=True)
class Anything:
    """Any JSON."""


@dataclass(frozen=True)
class Each:
    element: object


@dataclass(frozen=True)
class Keyed:
    key: object
    value: object


@dataclass(frozen=True)
class Member:
    #: Its name in the JSON.
    name: str
    annotation: object = field(compare=False)
    required: bool


@dataclass(frozen=True)
class Object:
    type: type
    members: tuple

    @property
    def name(self):
        return self.type.__name__


_KNOWN = {}


def shapes(annotation):
    """All that a value of this annotation may be, in the order of the type."""
    # Not every annotation can be hashed. Those that are kept are alive, and so have ids of their own.
    known = _KNOWN.get(id(annotation))
    if known is None:
        known = _KNOWN[id(annotation)] = (annotation, _shapes(annotation))
    return known[1]


def _shapes(annotation):
    if isinstance(annotation, typing_extensions.TypeAliasType) or type(annotation).__name__ == "TypeAliasType":
        return shapes(annotation.__value__)
    if isinstance(annotation, botocore.model.Shape):
        return [_of_service(annotation)]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Annotated, typing_extensions.Annotated):
        return shapes(arguments[0])
    if origin in (typing_extensions.Required, typing_extensions.NotRequired, typing_extensions.ReadOnly, typing.ClassVar):
        return shapes(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return _distinct(shape for argument in arguments for shape in shapes(argument))
    if origin in (typing.Literal, typing_extensions.Literal):
        words = tuple(word for word in arguments if isinstance(word, str))
        others = [shape for word in arguments if not isinstance(word, str) for shape in _of_value(word)]
        return ([Text(words)] if words else []) + _distinct(others)
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping):
        return [Keyed(arguments[0], arguments[1])]
    if annotation is str or _is(annotation, enum.Enum) or _is(annotation, (datetime.date, datetime.timedelta)):
        words = tuple(word.value for word in annotation if word.value) if _is(annotation, enum.Enum) else ()
        # A date, not a text.
        return [Text(words or (("2026-01-02T03:04:05Z",) if annotation is not str else ()))]
    if annotation is bytes:
        return [Text(base64=True)]
    if annotation is bool:
        return [Plain(False)]
    if annotation in (int, float):
        return [Plain(0)]
    if annotation in (None, type(None)):
        return [Nothing()]
    if origin is typing.IO or _is(annotation, os.PathLike):
        # A file of the client's: what is in it stands in the JSON as text or bytes, which are there beside it.
        return []
    if annotation in (typing.Any, object, dict, list) or isinstance(annotation, typing.TypeVar):
        return [Anything()]
    if isinstance(origin, type) and issubclass(origin, collections.abc.Iterable) or "Sequence" in str(origin):
        return [Each(arguments[0])]
    if typing_extensions.is_typeddict(annotation):
        return [_of_typed_dict(annotation)]
    if _is(annotation, pydantic.RootModel):
        return shapes(annotation.model_fields["root"].annotation)
    if _is(annotation, pydantic.BaseModel):
        return [_of_model(annotation)]
    raise TypeError(f"no shape for {annotation!r}")


def _of_value(value):
    if value is None:
        return [Nothing()]
    if isinstance(value, (bool, int, float)):
        return [Plain(value)]
    raise TypeError(f"no shape for {value!r}")


@functools.cache
def _of_typed_dict(own):
    hints = typing_extensions.get_type_hints(own, include_extras=True)
    members = []
    for name, hint in hints.items():
        required = own.__required_keys__
        is_required = typing.get_origin(hint) is typing_extensions.Required or (
            name in required and typing.get_origin(hint) is not typing_extensions.NotRequired
        )
        members.append(Member(_alias(hint) or name, hint, is_required))
    return Object(own, tuple(members))


def _alias(hint):
    """The name that `PropertyInfo` gives a member of a TypedDict."""
    if typing.get_origin(hint) in (typing_extensions.Required, typing_extensions.NotRequired):
        hint = typing.get_args(hint)[0]
    aliases = (getattr(note, "alias", None) for note in getattr(hint, "__metadata__", ()))
    return next((alias for alias in aliases if alias), None)


@functools.cache
def _of_model(own):
    members = []
    for name, info in own.model_fields.items():
        alias = info.serialization_alias or info.alias or name
        members.append(Member(alias, info.annotation, info.is_required()))
    return Object(own, tuple(members))


def _of_service(own):
    match own.type_name:
        case "structure" if own.is_document_type:
            return Anything()
        case "structure":
            # What says where it stands is not in the body.
            members = {name: member for name, member in own.members.items() if "location" not in member.serialization}
            required = own.required_members
            return Object(_service_type(own.name), tuple(Member(name, member, name in required) for name, member in members.items()))
        case "list":
            return Each(own.member)
        case "map":
            return Keyed(own.key, own.value)
        case "string" | "blob":
            return Text(tuple(own.metadata.get("enum", ())), base64=own.type_name == "blob")
        case "boolean" | "integer" | "long" | "float" | "double":
            return Plain(False if own.type_name == "boolean" else 0)
    raise TypeError(f"no shape for {own!r}")


@functools.cache
def _service_type(name):
    return type(name, (), {"__module__": "types"})


def _is(annotation, of):
    return inspect.isclass(annotation) and typing.get_origin(annotation) is None and issubclass(annotation, of)


def _distinct(found):
    return list(dict.fromkeys(found))

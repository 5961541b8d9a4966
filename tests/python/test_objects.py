import importlib.util
import json
import sys
from types import ModuleType

import pytest

from endoscope_python import objects


class Hostile:
    """Runs code for whatever is asked of it."""

    def __getattribute__(self, name):
        raise AssertionError(name)


class HostileMeta(type):
    def __getattribute__(cls, name):
        raise AssertionError(name)


class OfHostileMeta(metaclass=HostileMeta):
    pass


class HostileModule(ModuleType):
    def __getattribute__(self, name):
        raise AssertionError(name)


def function():
    pass


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (json.JSONDecoder(), "json.decoder.JSONDecoder"),
        (json.JSONDecoder, "json.decoder.JSONDecoder"),
        (DeprecationWarning, "DeprecationWarning"),
        (7, "int"),
        (function, f"{__name__}.function"),
        (Hostile(), f"{__name__}.Hostile"),
        (HostileMeta.__new__(HostileMeta, "Made", (), {}), f"{__name__}.Made"),
    ],
    ids=["instance", "class", "built-in class", "int", "function", "hostile", "metaclass"],
)
def test_names_are_where_a_type_is_from_and_its_own(thing, name):
    assert objects.type_name(thing) == name


def test_a_type_of_a_hostile_metaclass_is_named():
    assert objects.type_name(OfHostileMeta) == f"{__name__}.OfHostileMeta"


def test_an_object_has_no_say_in_what_it_is():
    class Pretender:
        __class__ = ModuleType

    assert isinstance(Pretender(), ModuleType)
    assert not objects.is_a(Pretender(), ModuleType)
    assert objects.is_a(HostileModule("x"), ModuleType)
    assert objects.is_a(OfHostileMeta, type)


def test_only_plain_strings_are_text():
    class Sly(str):
        __slots__ = ()

    assert objects.text("x") == "x"
    assert objects.text(Sly("x")) is None
    assert objects.text(b"x") is None


def test_attributes_of_a_module_are_read_past_its_own_code():
    module = HostileModule("hostile")
    ModuleType.__setattr__(module, "__version__", "1.0")
    assert objects.module_attributes(module)["__version__"] == "1.0"
    assert objects.module_attributes(Hostile()) is None
    assert objects.module_attributes(None) is None


def test_a_lazy_module_stays_lazy():
    spec = importlib.util.find_spec("this")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert objects.module_attributes(module)["__spec__"] is spec
    assert type(module).__name__ == "_LazyModule"
    assert "this" not in sys.modules

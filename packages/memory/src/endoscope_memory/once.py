"""What is found out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  it is used as `property` is
    """A property that is reckoned at its first use, and then stays.

    Not `functools.cached_property`: up to CPython 3.11 it holds a lock that all instances share
    while it reckons, and a process that is forked meanwhile would wait for it for ever. Of two
    threads that come first both reckon.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self._name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> once[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> once[T] | T:
        """Return what was found out."""
        if instance is None:
            return self
        found = instance.__dict__[self._name] = self._function(instance)
        return found

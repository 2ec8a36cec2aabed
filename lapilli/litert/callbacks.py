"""The functions that the runtime calls, made with ctypes: a delegate's and its kernels'.

Nothing may be raised into C: every callback ends in a status; ``raising`` knows a way around. The
ctypes functions for them, the constants below, are made once and never freed, so there is no moment
at which the runtime holds an address of code that is gone.

Who keeps whom alive: the structure's ``data_`` and each kernel's ``user_data`` are addresses of
Python objects. The runtime owns one reference to each kernel, from ``init`` to ``free``, and a
kernel owns its ``owner`` with structure and device. So objects may be deleted in any order.
"""

from __future__ import annotations

import ctypes
import logging
from typing import Any, Protocol

from lapilli.errors import LapilliError
from lapilli.litert import tflite_c
from lapilli.litert.raising import (
    RaisedLater,
    from_its_entry,
    is_from_outside,
    python_is_below,
    raising,
)

_log = logging.getLogger(__name__)

# LiteRT formats a message into 1024 bytes and then insists on valid UTF-8.
_MESSAGE_BYTES = 900
_KERNEL_NAME = b"lapilli"


class KernelCalls(Protocol):
    """What the runtime asks of the kernel of one partition. ``context``: its TfLiteContext."""

    @property
    def owner(self) -> DelegateCalls:
        """Who made it."""

    def prepare(self, context: Any, /) -> None:
        """Be ready to run: shapes are settled."""

    def invoke(self, context: Any, /) -> None:
        """Run."""


class DelegateCalls(Protocol):
    """What the runtime asks of a delegate. ``error``: what went wrong last, for its user."""

    error: BaseException | None

    def prepare(self, pointer: Any, structure: Any, /) -> None:
        """Look at the graph of the TfLiteContext at ``pointer`` and take what the NPU can run.
        ``structure``: the TfLiteDelegate that the runtime was given."""

    def new_kernel(self, parameters: Any, /) -> KernelCalls:
        """A kernel for the partition in the TfLiteDelegateParams; never raises."""

    def free_kernel(self, kernel: Any, /) -> None:
        """The runtime is done with it. While Python shuts down this may find no global names."""


def structure_of(delegate: DelegateCalls, flags: int = 0) -> Any:
    """The TfLiteDelegate whose calls go to ``delegate``, which has to outlive it."""
    # By address: a delegate that its own structure owned would never be freed.
    return tflite_c.TfLiteDelegate(data_=id(delegate), Prepare=_PREPARE_DELEGATE, flags=flags)


def kernel_registration() -> Any:
    """What the runtime needs to know of our kernels."""
    return tflite_c.TfLiteRegistration(
        init=_INIT_KERNEL,
        free=_FREE_KERNEL,
        prepare=_PREPARE_KERNEL,
        invoke=_INVOKE_KERNEL,
        builtin_code=tflite_c.BuiltinOperator.DELEGATE,
        custom_name=_KERNEL_NAME,
        version=1,
    )


# --- Errors ---------------------------------------------------------------------------------------


class TellLater(Exception):
    """Raised by a callback that failed with ``error`` and copes with that: the runtime is not to
    know, only who runs it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def _failed(pointer: Any, delegate: DelegateCalls, caught: BaseException) -> Any:
    """What a callback returns, with a plus sign in front (see ``raising``), after an exception.

    An error goes to the runtime's log and the delegate, and becomes kTfLiteError. What comes from
    outside, as from a signal's handler, is raised in the program as itself.
    """
    _log.debug("failed in a delegate callback", exc_info=True)
    later = isinstance(caught, TellLater)
    error = caught.error if isinstance(caught, TellLater) else caught
    outside = is_from_outside(error)
    if not isinstance(error, RaisedLater):
        delegate.error = error
    for each in (caught, error):
        _forget_frames(each)
    if (later or outside) and python_is_below():
        return raising(error if outside else RaisedLater(_text(error)))
    pointer.contents.ReportError(pointer, _message(error))
    return tflite_c.Status.OK if later else tflite_c.Status.ERROR


def _text(error: BaseException) -> str:
    text = str(error) if isinstance(error, LapilliError) else f"{type(error).__name__}: {error}"
    return f"lapilli: {text}"


def _message(error: BaseException) -> bytes:
    """The reason as a C format string without conversions, short enough for the runtime."""
    encoded = _text(error).replace("\0", " ").encode("utf-8", "replace")
    if len(encoded) > _MESSAGE_BYTES:
        encoded = encoded[:_MESSAGE_BYTES].decode("utf-8", "ignore").encode() + b" ..."
    return encoded.replace(b"%", b"%%") + b"\n"


def _forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an error that we keep: their frames hold views of the runtime's
    memory, and the graph."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


# --- The callbacks --------------------------------------------------------------------------------


def _object_at(address: int) -> Any:
    """The Python object with this id, which somebody keeps alive."""
    return ctypes.py_object.from_buffer(ctypes.c_void_p(address)).value


def _delegate_at(structure: Any) -> DelegateCalls:
    delegate: DelegateCalls = _object_at(structure.contents.data_)
    return delegate


def _prepare_delegate(pointer: Any, structure: Any) -> Any:
    try:
        _delegate_at(structure).prepare(pointer, structure)
        return tflite_c.Status.OK
    except BaseException as error:
        return +_failed(pointer, _delegate_at(structure), error)


def _init_kernel(_pointer: Any, parameters: Any, _length: int) -> int:
    """A kernel, owned by the runtime. Init can't fail in C: who had kernels made raises ``error``
    afterwards."""
    try:
        return _owned_kernel(parameters.contents)
    except BaseException as error:  # of a signal, before anything was done
        _delegate_at(parameters.contents.delegate).error = error
        return _owned_kernel(parameters.contents)


def _owned_kernel(parameters: Any) -> int:
    kernel = _delegate_at(parameters.delegate).new_kernel(parameters)
    _INCREASE(kernel)
    return id(kernel)


def _prepare_kernel(pointer: Any, node: Any) -> Any:
    try:
        kernel: KernelCalls = _object_at(node.contents.user_data)
        kernel.prepare(pointer.contents)
        return tflite_c.Status.OK
    except BaseException as error:
        return +_failed(pointer, _object_at(node.contents.user_data).owner, error)


def _invoke_kernel(pointer: Any, node: Any) -> Any:
    try:
        kernel: KernelCalls = _object_at(node.contents.user_data)
        kernel.invoke(pointer.contents)
        return tflite_c.Status.OK
    except BaseException as error:
        return +_failed(pointer, _object_at(node.contents.user_data).owner, error)


_INCREASE = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_IncRef", ctypes.pythonapi))
_DECREASE = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_DecRef", ctypes.pythonapi))


def _free_kernel(
    _pointer: Any,
    address: int | None,
    # An interpreter may be deleted while Python shuts down and has cleared this module's names.
    py_object: Any = ctypes.py_object,
    c_void_p: Any = ctypes.c_void_p,
    decrease: Any = _DECREASE,
) -> None:
    if not address:
        return
    kernel = py_object.from_buffer(c_void_p(address)).value
    try:
        kernel.owner.free_kernel(kernel)
    except BaseException as error:
        kernel.owner.error = error
    finally:
        decrease(kernel)


_PREPARE_DELEGATE = tflite_c.DelegatePrepareFunction(from_its_entry(_prepare_delegate))
_INIT_KERNEL = tflite_c.KernelInitFunction(from_its_entry(_init_kernel))
_PREPARE_KERNEL = tflite_c.KernelFunction(from_its_entry(_prepare_kernel))
_INVOKE_KERNEL = tflite_c.KernelFunction(from_its_entry(_invoke_kernel))
_FREE_KERNEL = tflite_c.KernelFreeFunction(_free_kernel)
for _function in (_PREPARE_DELEGATE, _INIT_KERNEL, _PREPARE_KERNEL, _INVOKE_KERNEL, _FREE_KERNEL):
    _INCREASE(_function)

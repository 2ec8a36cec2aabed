"""The part of TensorFlow Lite's C API that a delegate needs, as ctypes declarations.

Source: ``tensorflow/lite/core/c/common.h``; options of operators: ``runtime_options``. LiteRT kept
these layouts: what stands here and there is the same from tflite-runtime 2.14 to ai-edge-litert 2.3
on 64-bit Linux (each was run). Structures end where we stop reading, with two exceptions: the
runtime keeps tensors in an array, so ``TfLiteTensor`` must have its full size, and it takes
``TfLiteRegistration`` by value.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_bool,
    c_char_p,
    c_float,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_void_p,
)
from enum import IntEnum, IntFlag


class Status(IntEnum):
    """TfLiteStatus; the runtime knows more, we return these two."""

    OK = 0
    ERROR = 1


class AllocationType(IntEnum):
    """TfLiteAllocationType: where a tensor's bytes live."""

    NONE = 0
    MMAP_READ_ONLY = 1
    ARENA = 2
    ARENA_PERSISTENT = 3
    DYNAMIC = 4
    PERSISTENT_READ_ONLY = 5
    CUSTOM = 6
    VARIANT_OBJECT = 7
    NON_CPU = 8


class DelegateFlags(IntFlag):
    """TfLiteDelegateFlags: what a delegate says of itself."""

    NONE = 0
    ALLOW_DYNAMIC_TENSORS = 1


class QuantizationType(IntEnum):
    """TfLiteQuantizationType."""

    NONE = 0
    AFFINE = 1
    BLOCKWISE = 2


class PaddingKind(IntEnum):
    """TfLitePadding."""

    UNKNOWN = 0
    SAME = 1
    VALID = 2


class FusedActivation(IntEnum):
    """TfLiteFusedActivation, as far as we have a name for it."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3


class BuiltinOperator(IntEnum):
    """Codes of the two that are no operators."""

    CUSTOM = 32
    DELEGATE = 51


# TfLiteType in its order: NumPy's name where NumPy has the type, else TFLite's in lower case.
TYPE_NAMES = (
    "no type",
    "float32",
    "int32",
    "uint8",
    "int64",
    "string",
    "bool",
    "int16",
    "complex64",
    "int8",
    "float16",
    "float64",
    "complex128",
    "uint64",
    "resource",
    "variant",
    "uint32",
    "uint16",
    "int4",
    "bfloat16",
    "int2",
    "uint4",
)

NUMPY_TYPES = frozenset(TYPE_NAMES) - {
    "no type",
    "string",
    "resource",
    "variant",
    "int4",
    "bfloat16",
    "int2",
    "uint4",
}

NULL_BUFFER_HANDLE = -1


class TfLiteIntArray(Structure):
    """``size`` 32-bit integers follow directly behind."""

    _fields_ = [("size", c_int)]


class TfLiteFloatArray(Structure):
    """``size`` floats follow directly behind."""

    _fields_ = [("size", c_int)]


class TfLiteQuantizationParams(Structure):
    """The older, per-tensor form of a quantisation; scale 0 means none."""

    _fields_ = [("scale", c_float), ("zero_point", c_int32)]


class TfLiteQuantization(Structure):
    """``params`` leads to a TfLiteAffineQuantization if ``type`` says so."""

    _fields_ = [("type", c_int), ("params", c_void_p)]


class TfLiteAffineQuantization(Structure):
    """One scale, or one for each channel along ``quantized_dimension``."""

    _fields_ = [
        ("scale", POINTER(TfLiteFloatArray)),
        ("zero_point", POINTER(TfLiteIntArray)),
        ("quantized_dimension", c_int32),
    ]


class TfLiteTensor(Structure):
    """A tensor. ``data`` may move from one invocation to the next."""

    _fields_ = [
        ("type", c_int),
        ("data", c_void_p),
        ("dims", POINTER(TfLiteIntArray)),
        ("params", TfLiteQuantizationParams),
        ("allocation_type", c_int),
        ("bytes", c_size_t),
        ("allocation", c_void_p),
        ("name", c_char_p),
        ("delegate", c_void_p),
        ("buffer_handle", c_int),
        ("data_is_stale", c_bool),
        ("is_variable", c_bool),
        ("quantization", TfLiteQuantization),
        ("sparsity", c_void_p),
        ("dims_signature", POINTER(TfLiteIntArray)),
    ]


class TfLiteNode(Structure):
    """An operator's tensors and data; for a delegate's node ``user_data`` is what init returned."""

    _fields_ = [
        ("inputs", POINTER(TfLiteIntArray)),
        ("outputs", POINTER(TfLiteIntArray)),
        ("intermediates", POINTER(TfLiteIntArray)),
        ("temporaries", POINTER(TfLiteIntArray)),
        ("user_data", c_void_p),
        ("builtin_data", c_void_p),
        ("custom_initial_data", c_void_p),
        ("custom_initial_data_size", c_int),
    ]


class TfLiteContext(Structure):
    """What the runtime offers. The function fields are typed below: they take a context."""


class TfLiteDelegate(Structure):
    """What we hand to the runtime. Fields up to ``opaque_delegate_builder``."""


class TfLiteDelegateParams(Structure):
    """What ``init`` of a delegate kernel gets as its buffer."""

    _fields_ = [
        ("delegate", POINTER(TfLiteDelegate)),
        ("nodes_to_replace", POINTER(TfLiteIntArray)),
        ("input_tensors", POINTER(TfLiteIntArray)),
        ("output_tensors", POINTER(TfLiteIntArray)),
    ]


ContextPointer = POINTER(TfLiteContext)

DelegatePrepareFunction = CFUNCTYPE(c_int, ContextPointer, POINTER(TfLiteDelegate))
KernelInitFunction = CFUNCTYPE(c_void_p, ContextPointer, POINTER(TfLiteDelegateParams), c_size_t)
KernelFreeFunction = CFUNCTYPE(None, ContextPointer, c_void_p)
KernelFunction = CFUNCTYPE(c_int, ContextPointer, POINTER(TfLiteNode))


class TfLiteRegistration(Structure):
    """The functions of a kernel.

    Goes to the runtime by value. The runtime's own structure may be longer (2.14 already has three
    more fields, all of which mean "none" when 0), so zeros follow: it must not read what happens to
    lie behind ours on the stack.
    """

    _fields_ = [
        ("init", KernelInitFunction),
        ("free", KernelFreeFunction),
        ("prepare", KernelFunction),
        ("invoke", KernelFunction),
        ("profiling_string", c_void_p),
        ("builtin_code", c_int32),
        ("custom_name", c_char_p),
        ("version", c_int),
        ("zeros", c_void_p * 16),
    ]


GetExecutionPlanFunction = CFUNCTYPE(c_int, ContextPointer, POINTER(POINTER(TfLiteIntArray)))
ResizeTensorFunction = CFUNCTYPE(
    c_int, ContextPointer, POINTER(TfLiteTensor), POINTER(TfLiteIntArray)
)
# Variadic in C. Called with a text that holds no conversion, so there never are further arguments,
# which makes it the same call as a plain one on x86-64 (libffi sets AL) and on aarch64 Linux.
ReportErrorFunction = CFUNCTYPE(None, ContextPointer, c_char_p)
GetNodeAndRegistrationFunction = CFUNCTYPE(
    c_int,
    ContextPointer,
    c_int,
    POINTER(POINTER(TfLiteNode)),
    POINTER(POINTER(TfLiteRegistration)),
)
ReplaceNodeSubsetsFunction = CFUNCTYPE(
    c_int,
    ContextPointer,
    TfLiteRegistration,
    POINTER(TfLiteIntArray),
    POINTER(TfLiteDelegate),
)
PreviewPartitioningFunction = CFUNCTYPE(
    c_int,
    ContextPointer,
    POINTER(TfLiteIntArray),
    POINTER(POINTER(TfLiteDelegateParams)),
    POINTER(c_int),
)

TfLiteContext._fields_ = [
    ("tensors_size", c_size_t),
    ("GetExecutionPlan", GetExecutionPlanFunction),
    ("tensors", POINTER(TfLiteTensor)),
    ("impl_", c_void_p),
    ("ResizeTensor", ResizeTensorFunction),
    ("ReportError", ReportErrorFunction),
    ("AddTensors", c_void_p),
    ("GetNodeAndRegistration", GetNodeAndRegistrationFunction),
    ("ReplaceNodeSubsetsWithDelegateKernels", ReplaceNodeSubsetsFunction),
    ("recommended_num_threads", c_int),
    ("GetExternalContext", c_void_p),
    ("SetExternalContext", c_void_p),
    ("allow_fp32_relax_to_fp16", c_bool),
    ("profiler", c_void_p),
    ("AllocatePersistentBuffer", c_void_p),
    ("AllocateBufferForEval", c_void_p),
    ("RequestScratchBufferInArena", c_void_p),
    ("GetScratchBuffer", c_void_p),
    ("ResizeTensorExplicit", c_void_p),
    ("PreviewDelegatePartitioning", PreviewPartitioningFunction),
]

TfLiteDelegate._fields_ = [
    ("data_", c_void_p),
    ("Prepare", DelegatePrepareFunction),
    ("CopyFromBufferHandle", c_void_p),
    ("CopyToBufferHandle", c_void_p),
    ("FreeBufferHandle", c_void_p),
    ("flags", c_int64),
    ("opaque_delegate_builder", c_void_p),
]


POINTER_BYTES = ctypes.sizeof(c_void_p)

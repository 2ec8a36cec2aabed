"""Train, quantise and write the sample model: handwritten digits on a small conv net.

    python tools/make_digits_model.py            # writes lapilli/data/digits.*

The images are scikit-learn's bundled 8x8 digits (``load_digits``), enlarged to 16x16. Every fifth
image is held back: it takes no part in training or calibration and is stored beside the model.
Training is plain numpy with fixed seeds on one thread. It repeats to the bit for one numpy build
and processor type; another BLAS kernel may sum in another order and so end at slightly other
weights. Writing the file has no such freedom: the same arrays always give the same bytes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]
Parameters = dict[str, tuple[FloatArray, FloatArray]]

DATA_DIRECTORY = Path(__file__).resolve().parent.parent / "lapilli" / "data"
IMAGE_SIDE = 16
CLASS_COUNT = 10
HELD_BACK_STEP = 5
SEED = 20240229
EPOCHS = 30
BATCH = 32
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2

CONV = tflite.BuiltinOperator.CONV_2D
DEPTHWISE = tflite.BuiltinOperator.DEPTHWISE_CONV_2D
ADD = tflite.BuiltinOperator.ADD
RESHAPE = tflite.BuiltinOperator.RESHAPE
SOFTMAX = tflite.BuiltinOperator.SOFTMAX
LINEAR = tflite.ActivationFunctionType.NONE
RELU = tflite.ActivationFunctionType.RELU
RELU6 = tflite.ActivationFunctionType.RELU6
SAME = tflite.Padding.SAME
VALID = tflite.Padding.VALID


@dataclass(frozen=True)
class Layer:
    """One trained or residual operator; its output tensor carries the layer's name."""

    name: str
    kind: int
    sources: tuple[str, ...]
    side: int  # of the square output, in pixels
    channels: int  # of the output
    activation: int = LINEAR
    kernel: int = 1
    stride: int = 1
    padding: int = SAME


# "reduce_depthwise" reads a sum whose zero point is not 0, with SAME padding on one side only:
# the border then has to be filled with the zero point, which a sample should exercise.
LAYERS = (
    Layer("stem", CONV, ("image",), 16, 12, RELU6, kernel=3),
    Layer("down", CONV, ("stem",), 8, 24, RELU, kernel=3, stride=2),
    Layer("mix_depthwise", DEPTHWISE, ("down",), 8, 24, RELU6, kernel=3),
    Layer("mix_pointwise", CONV, ("mix_depthwise",), 8, 24),
    Layer("residual", ADD, ("down", "mix_pointwise"), 8, 24),
    Layer("reduce_depthwise", DEPTHWISE, ("residual",), 4, 24, RELU, kernel=3, stride=2),
    Layer("reduce_pointwise", CONV, ("reduce_depthwise",), 4, 40, RELU),
    Layer("features", CONV, ("reduce_pointwise",), 4, 40, RELU, kernel=3),
    Layer("classifier", CONV, ("features",), 1, CLASS_COUNT, kernel=4, padding=VALID),
)


# --- images ---------------------------------------------------------------------------------


def enlarge(images: npt.NDArray[np.float64]) -> ByteArray:
    """Enlarge [N, 8, 8] images of 0..16 to [N, 16, 16, 1] of 0..255, bilinear, pixel centres.

    All interpolation weights are multiples of 1/16, so the sums are exact on every machine.
    """
    small = images.shape[1]
    centres = (np.arange(IMAGE_SIDE) + 0.5) * small / IMAGE_SIDE - 0.5
    matrix = np.stack([np.interp(centres, np.arange(small), row) for row in np.eye(small)], axis=1)
    large = matrix @ images @ matrix.T
    result: ByteArray = np.round(large * 255 / 16).astype(np.uint8)[..., np.newaxis]
    return result


def load_images() -> tuple[ByteArray, ByteArray]:
    """All 1797 digits as images uint8 [N, 16, 16, 1] and labels uint8 [N]."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return enlarge(digits.images), digits.target.astype(np.uint8)


def held_back_mask(count: int) -> npt.NDArray[np.bool_]:
    """Which of ``count`` images are held back from training, bool [count]."""
    result: npt.NDArray[np.bool_] = np.arange(count) % HELD_BACK_STEP == 0
    return result


# --- the network in float -------------------------------------------------------------------


def pad_same(layer: Layer, values: FloatArray) -> tuple[FloatArray, int]:
    """Pad [N, H, W, C] as TFLite does; also return the rows (= columns) put in front."""
    if layer.padding == VALID:
        return values, 0
    total = max((layer.side - 1) * layer.stride + layer.kernel - values.shape[1], 0)
    before = total // 2
    border = (before, total - before)
    return np.pad(values, ((0, 0), border, border, (0, 0))), before


def taps(layer: Layer, padded: FloatArray) -> Iterator[tuple[int, int, FloatArray]]:
    """For each kernel position, the view [N, side, side, C] of the pixels it meets."""
    reach = layer.stride * (layer.side - 1) + 1
    for row in range(layer.kernel):
        for column in range(layer.kernel):
            rows = slice(row, row + reach, layer.stride)
            columns = slice(column, column + reach, layer.stride)
            yield row, column, padded[:, rows, columns]


def convolve(layer: Layer, values: FloatArray, weights: FloatArray, bias: FloatArray) -> FloatArray:
    """Convolution before its activation; weights are [K, K, I, O], or [K, K, C] by depth."""
    padded, _ = pad_same(layer, values)
    total = np.broadcast_to(bias, (len(values), layer.side, layer.side, layer.channels)).copy()
    for row, column, view in taps(layer, padded):
        kernel = weights[row, column]
        total += view * kernel if layer.kind == DEPTHWISE else view @ kernel
    return total


def convolve_backward(
    layer: Layer, values: FloatArray, weights: FloatArray, slope: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Gradients of the input, the weights and the bias, from ``slope`` [N, side, side, O]."""
    padded, before = pad_same(layer, values)
    padded_slope = np.zeros_like(padded)
    weight_slope = np.zeros_like(weights)
    views = zip(taps(layer, padded), taps(layer, padded_slope), strict=True)
    for (row, column, view), (_, _, view_slope) in views:
        kernel = weights[row, column]
        if layer.kind == DEPTHWISE:
            weight_slope[row, column] = (view * slope).sum(axis=(0, 1, 2))
            view_slope += slope * kernel
        else:
            weight_slope[row, column] = np.tensordot(view, slope, axes=((0, 1, 2), (0, 1, 2)))
            view_slope += slope @ kernel.T
    inside = slice(before, before + values.shape[1])
    return padded_slope[:, inside, inside], weight_slope, slope.sum(axis=(0, 1, 2))


def activate(layer: Layer, values: FloatArray) -> FloatArray:
    """Apply the layer's fused activation."""
    if layer.activation == LINEAR:
        return values
    return np.clip(values, 0, 6 if layer.activation == RELU6 else None)


def active(layer: Layer, outputs: FloatArray) -> npt.NDArray[np.bool_]:
    """Where the activation lets a gradient through, judged from its outputs."""
    if layer.activation == LINEAR:
        return np.ones(outputs.shape, dtype=np.bool_)
    inside: npt.NDArray[np.bool_] = outputs > 0
    return inside & (outputs < 6) if layer.activation == RELU6 else inside


def forward(parameters: Parameters, images: FloatArray) -> dict[str, FloatArray]:
    """All activations by tensor name, for images [N, 16, 16, 1] of 0..1."""
    outputs = {"image": images}
    for layer in LAYERS:
        if layer.kind == ADD:
            left, right = layer.sources
            total = outputs[left] + outputs[right]
        else:
            total = convolve(layer, outputs[layer.sources[0]], *parameters[layer.name])
        outputs[layer.name] = activate(layer, total)
    return outputs


def backward(
    parameters: Parameters, outputs: Mapping[str, FloatArray], slope: FloatArray
) -> Parameters:
    """Gradients of all parameters, from the gradient [N, 1, 1, 10] of the classifier's output."""
    slopes = {name: np.zeros_like(values) for name, values in outputs.items()}
    slopes[LAYERS[-1].name] = slope
    gradients: Parameters = {}
    for layer in reversed(LAYERS):
        here = slopes[layer.name] * active(layer, outputs[layer.name])
        if layer.kind == ADD:
            for source in layer.sources:
                slopes[source] += here
            continue
        (source,) = layer.sources
        weights, _ = parameters[layer.name]
        into, *gradient = convolve_backward(layer, outputs[source], weights, here)
        slopes[source] += into
        gradients[layer.name] = (gradient[0], gradient[1])
    return gradients


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: FloatArray = powers / powers.sum(axis=-1, keepdims=True)
    return result


def float_accuracy(parameters: Parameters, images: ByteArray, labels: ByteArray) -> float:
    """Share of right answers of the float network, 0..1."""
    logits = forward(parameters, as_float(images))[LAYERS[-1].name]
    return float(np.mean(logits.reshape(-1, CLASS_COUNT).argmax(axis=1) == labels))


def as_float(images: ByteArray) -> FloatArray:
    """Map 0..255 to 0..1."""
    return images.astype(np.float32) / np.float32(255)


# --- training -------------------------------------------------------------------------------


def initial_parameters(random: np.random.Generator) -> Parameters:
    """He initialisation; no batch norm, so nothing has to be folded later."""
    channels = {"image": 1}
    parameters: Parameters = {}
    for layer in LAYERS:
        channels[layer.name] = layer.channels
        if layer.kind == ADD:
            continue
        inputs = channels[layer.sources[0]]
        window = (layer.kernel, layer.kernel)
        depthwise = layer.kind == DEPTHWISE
        shape = (*window, inputs) if depthwise else (*window, inputs, layer.channels)
        fan_in = layer.kernel**2 * (1 if depthwise else inputs)
        weights = random.standard_normal(shape) * math.sqrt(2 / fan_in)
        parameters[layer.name] = (
            weights.astype(np.float32),
            np.zeros(layer.channels, dtype=np.float32),
        )
    return parameters


class Adam:
    """Adam with decoupled weight decay, which also keeps the weight ranges narrow."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.step_count = 0
        self.means = {k: tuple(np.zeros_like(a) for a in v) for k, v in parameters.items()}
        self.squares = {k: tuple(np.zeros_like(a) for a in v) for k, v in parameters.items()}

    def step(self, gradients: Parameters, rate: float) -> None:
        """Move all parameters in place, ``rate`` being the step size."""
        self.step_count += 1
        mean_bias = 1 - 0.9**self.step_count
        square_bias = 1 - 0.999**self.step_count
        for name, arrays in self.parameters.items():
            moments = zip(self.means[name], self.squares[name], strict=True)
            for array, gradient, (mean, square) in zip(
                arrays, gradients[name], moments, strict=True
            ):
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (gradient * gradient - square)
                array -= rate * (mean / mean_bias) / (np.sqrt(square / square_bias) + 1e-8)
                array -= rate * WEIGHT_DECAY * array


def shifted(images: FloatArray, random: np.random.Generator) -> FloatArray:
    """The batch moved by up to one pixel each way."""
    row, column = random.integers(0, 3, size=2)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return padded[:, row : row + IMAGE_SIDE, column : column + IMAGE_SIDE]


def train(images: ByteArray, labels: ByteArray, epochs: int = EPOCHS) -> Parameters:
    """Train on images uint8 [N, 16, 16, 1] and labels uint8 [N]; cross entropy, cosine decay."""
    random = np.random.default_rng(SEED)
    parameters = initial_parameters(random)
    adam = Adam(parameters)
    pixels = as_float(images)
    targets = np.eye(CLASS_COUNT, dtype=np.float32)[labels]
    batches_per_epoch = len(pixels) // BATCH
    for epoch in range(epochs):
        order = random.permutation(len(pixels))
        for batch in range(batches_per_epoch):
            chosen = order[batch * BATCH : (batch + 1) * BATCH]
            outputs = forward(parameters, shifted(pixels[chosen], random))
            probabilities = softmax(outputs[LAYERS[-1].name])
            slope = (probabilities - targets[chosen][:, None, None]) / np.float32(BATCH)
            progress = (epoch + batch / batches_per_epoch) / epochs
            rate = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * progress))
            adam.step(backward(parameters, outputs, slope), rate)
    return parameters


# --- quantisation ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Quantisation:
    """real = scale * (stored - zero_point); the scale is a float32 value, as in the file."""

    scale: float
    zero_point: int

    def store(self, values: FloatArray) -> ByteArray:
        """The nearest stored bytes, saturated."""
        steps = np.round(values.astype(np.float64) / self.scale) + self.zero_point
        return np.clip(steps, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Tensor:
    """One tensor of the file; ``data`` is None where the interpreter computes it."""

    name: str
    shape: tuple[int, ...]
    kind: int
    quantisation: Quantisation | None = None
    data: npt.NDArray[Any] | None = None


def quantisation_of_range(low: float, high: float) -> Quantisation:
    """Asymmetric uint8 over [low, high], widened so that 0.0 is stored exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255))
    return Quantisation(scale, int(np.clip(round(-low / scale), 0, 255)))


def calibrate(outputs: Mapping[str, FloatArray]) -> dict[str, Quantisation]:
    """Quantisation of every activation, by its least and greatest value in ``outputs``."""
    found = {"image": Quantisation(float(np.float32(1 / 255)), 0)}
    for layer in LAYERS:
        values = outputs[layer.name]
        if layer.activation == RELU6:
            # The clamp at 6 is then the saturation at 255 itself.
            found[layer.name] = quantisation_of_range(0.0, 6.0)
        else:
            found[layer.name] = quantisation_of_range(float(values.min()), float(values.max()))
    return found


def quantise_layer(
    layer: Layer,
    weights: FloatArray,
    bias: FloatArray,
    source: Quantisation,
    result: Quantisation,
) -> tuple[Tensor, Tensor]:
    """Weights (uint8, OHWI, or 1HWC by depth) and bias (int32, input scale x weight scale)."""
    kept = quantisation_of_range(float(weights.min()), float(weights.max()))
    bias_scale = float(np.float32(source.scale * kept.scale))
    if bias_scale >= result.scale:
        raise ValueError(f"{layer.name}: the output multiplier is not below 1")
    ordered = weights[np.newaxis] if layer.kind == DEPTHWISE else weights.transpose(3, 0, 1, 2)
    stored = kept.store(ordered)
    steps = np.round(bias.astype(np.float64) / bias_scale).astype(np.int32)
    return (
        Tensor(f"{layer.name}/weights", stored.shape, tflite.TensorType.UINT8, kept, stored),
        Tensor(
            f"{layer.name}/bias",
            steps.shape,
            tflite.TensorType.INT32,
            Quantisation(bias_scale, 0),
            steps,
        ),
    )


def quantise(parameters: Parameters, images: ByteArray) -> list[Tensor]:
    """All tensors of the file, calibrated on images uint8 [N, 16, 16, 1]."""
    found = calibrate(forward(parameters, as_float(images)))
    byte = tflite.TensorType.UINT8
    tensors = [Tensor("image", (1, IMAGE_SIDE, IMAGE_SIDE, 1), byte, found["image"])]
    for layer in LAYERS:
        result = found[layer.name]
        if layer.kind != ADD:
            source = found[layer.sources[0]]
            tensors += quantise_layer(layer, *parameters[layer.name], source, result)
        shape = (1, layer.side, layer.side, layer.channels)
        tensors.append(Tensor(layer.name, shape, byte, result))
    flat = (1, CLASS_COUNT)
    extent = np.array(flat, dtype=np.int32)
    return [
        *tensors,
        Tensor("logits/shape", extent.shape, tflite.TensorType.INT32, data=extent),
        Tensor("logits", flat, byte, found[LAYERS[-1].name]),
        # TFLite's softmax demands exactly this scale and zero point for uint8.
        Tensor("probabilities", flat, byte, Quantisation(1 / 256, 0)),
    ]


# --- the file -------------------------------------------------------------------------------

Builder = Any  # flatbuffers.Builder, which has no types


@dataclass(frozen=True)
class Operator:
    """One operator of the file, with its tensors by name; ``layer`` where it has options."""

    kind: int
    inputs: tuple[str, ...]
    output: str
    layer: Layer | None = None


def operators() -> list[Operator]:
    """The network in the order in which it runs."""
    listed = []
    for layer in LAYERS:
        own = () if layer.kind == ADD else (f"{layer.name}/weights", f"{layer.name}/bias")
        listed.append(Operator(layer.kind, (*layer.sources, *own), layer.name, layer))
    listed.append(Operator(RESHAPE, (LAYERS[-1].name, "logits/shape"), "logits"))
    listed.append(Operator(SOFTMAX, ("logits",), "probabilities"))
    return listed


def int_vector(builder: Builder, numbers: Sequence[int]) -> int:
    """Write a vector of int32."""
    return int(builder.CreateNumpyVector(np.array(numbers, dtype=np.int32)))


def table_vector(builder: Builder, offsets: Sequence[int]) -> int:
    """Write a vector of tables which were written before."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def write_buffer(builder: Builder, data: bytes) -> int:
    """Write one buffer; the schema wants its bytes at a multiple of 16."""
    content = None
    if data:
        builder.Prep(16, len(data))
        content = builder.CreateByteVector(data)
    tflite.BufferStart(builder)
    if content is not None:
        tflite.BufferAddData(builder, content)
    return int(tflite.BufferEnd(builder))


def write_quantisation(builder: Builder, quantisation: Quantisation) -> int:
    """Write the table of one scale and one zero point."""
    scales = builder.CreateNumpyVector(np.array([quantisation.scale], dtype=np.float32))
    zero_points = builder.CreateNumpyVector(np.array([quantisation.zero_point], dtype=np.int64))
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scales)
    tflite.QuantizationParametersAddZeroPoint(builder, zero_points)
    return int(tflite.QuantizationParametersEnd(builder))


def write_tensor(builder: Builder, tensor: Tensor, buffer: int) -> int:
    """Write one tensor; ``buffer`` is the index of its data, 0 for none."""
    name = builder.CreateString(tensor.name)
    shape = int_vector(builder, tensor.shape)
    quantisation = None
    if tensor.quantisation is not None:
        quantisation = write_quantisation(builder, tensor.quantisation)
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, tensor.kind)
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, name)
    if quantisation is not None:
        tflite.TensorAddQuantization(builder, quantisation)
    return int(tflite.TensorEnd(builder))


def write_conv_options(builder: Builder, layer: Layer) -> tuple[int, int]:
    """Write the options of a convolution, plain or by depth."""
    if layer.kind == CONV:
        tflite.Conv2DOptionsStart(builder)
        tflite.Conv2DOptionsAddPadding(builder, layer.padding)
        tflite.Conv2DOptionsAddStrideW(builder, layer.stride)
        tflite.Conv2DOptionsAddStrideH(builder, layer.stride)
        tflite.Conv2DOptionsAddFusedActivationFunction(builder, layer.activation)
        return tflite.BuiltinOptions.Conv2DOptions, int(tflite.Conv2DOptionsEnd(builder))
    tflite.DepthwiseConv2DOptionsStart(builder)
    tflite.DepthwiseConv2DOptionsAddPadding(builder, layer.padding)
    tflite.DepthwiseConv2DOptionsAddStrideW(builder, layer.stride)
    tflite.DepthwiseConv2DOptionsAddStrideH(builder, layer.stride)
    tflite.DepthwiseConv2DOptionsAddDepthMultiplier(builder, 1)
    tflite.DepthwiseConv2DOptionsAddFusedActivationFunction(builder, layer.activation)
    end = int(tflite.DepthwiseConv2DOptionsEnd(builder))
    return tflite.BuiltinOptions.DepthwiseConv2DOptions, end


def write_options(builder: Builder, operator: Operator) -> tuple[int, int]:
    """Write the options; return their kind and offset."""
    layer = operator.layer
    if layer is not None and layer.kind == ADD:
        tflite.AddOptionsStart(builder)
        tflite.AddOptionsAddFusedActivationFunction(builder, layer.activation)
        return tflite.BuiltinOptions.AddOptions, int(tflite.AddOptionsEnd(builder))
    if layer is not None:
        return write_conv_options(builder, layer)
    if operator.kind == RESHAPE:
        shape = int_vector(builder, (1, CLASS_COUNT))
        tflite.ReshapeOptionsStart(builder)
        tflite.ReshapeOptionsAddNewShape(builder, shape)
        return tflite.BuiltinOptions.ReshapeOptions, int(tflite.ReshapeOptionsEnd(builder))
    tflite.SoftmaxOptionsStart(builder)
    tflite.SoftmaxOptionsAddBeta(builder, 1.0)
    return tflite.BuiltinOptions.SoftmaxOptions, int(tflite.SoftmaxOptionsEnd(builder))


def write_operator(
    builder: Builder, operator: Operator, code: int, indices: Mapping[str, int]
) -> int:
    """Write one operator; ``code`` is its index among the operator codes."""
    inputs = int_vector(builder, [indices[name] for name in operator.inputs])
    outputs = int_vector(builder, [indices[operator.output]])
    options_kind, options = write_options(builder, operator)
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, inputs)
    tflite.OperatorAddOutputs(builder, outputs)
    tflite.OperatorAddBuiltinOptionsType(builder, options_kind)
    tflite.OperatorAddBuiltinOptions(builder, options)
    return int(tflite.OperatorEnd(builder))


def write_operator_code(builder: Builder, kind: int) -> int:
    """Write one operator code; all are version 1 in their uint8 form."""
    tflite.OperatorCodeStart(builder)
    # Readers older than schema 3a know the deprecated field only, newer ones take the greater.
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, kind)
    tflite.OperatorCodeAddVersion(builder, 1)
    tflite.OperatorCodeAddBuiltinCode(builder, kind)
    return int(tflite.OperatorCodeEnd(builder))


def write_subgraph(builder: Builder, tensors: Sequence[Tensor], codes: Sequence[int]) -> int:
    """Write tensors and operators; tensors with data take the buffers 1, 2, ... in order."""
    indices = {tensor.name: index for index, tensor in enumerate(tensors)}
    tensor_offsets = []
    buffer_count = 0
    for tensor in tensors:
        buffer_count += tensor.data is not None
        buffer = 0 if tensor.data is None else buffer_count
        tensor_offsets.append(write_tensor(builder, tensor, buffer))
    operator_offsets = [
        write_operator(builder, operator, codes.index(operator.kind), indices)
        for operator in operators()
    ]
    tensor_vector = table_vector(builder, tensor_offsets)
    operator_vector = table_vector(builder, operator_offsets)
    inputs = int_vector(builder, [indices["image"]])
    outputs = int_vector(builder, [indices["probabilities"]])
    name = builder.CreateString("main")
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensor_vector)
    tflite.SubGraphAddInputs(builder, inputs)
    tflite.SubGraphAddOutputs(builder, outputs)
    tflite.SubGraphAddOperators(builder, operator_vector)
    tflite.SubGraphAddName(builder, name)
    return int(tflite.SubGraphEnd(builder))


def write_model(tensors: Sequence[Tensor]) -> bytes:
    """The .tflite file (schema version 3); the same tensors always give the same bytes."""
    builder = flatbuffers.Builder(1 << 16)
    contents = [b""]  # buffer 0 is empty by convention
    for tensor in tensors:
        if tensor.data is not None:
            little_endian = tensor.data.dtype.newbyteorder("<")
            contents.append(tensor.data.astype(little_endian).tobytes())
    buffers = table_vector(builder, [write_buffer(builder, data) for data in contents])
    codes = list(dict.fromkeys(operator.kind for operator in operators()))
    subgraph = write_subgraph(builder, tensors, codes)
    subgraphs = table_vector(builder, [subgraph])
    code_vector = table_vector(builder, [write_operator_code(builder, kind) for kind in codes])
    description = builder.CreateString("lapilli sample: handwritten digits, uint8 per tensor")
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, code_vector)
    tflite.ModelAddSubgraphs(builder, subgraphs)
    tflite.ModelAddDescription(builder, description)
    tflite.ModelAddBuffers(builder, buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


# --- the whole run --------------------------------------------------------------------------


def quantised_accuracy(model: bytes, images: ByteArray, labels: ByteArray) -> float:
    """Share of right answers of the written model in LiteRT, 0..1; nan without LiteRT."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return math.nan
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    right = 0
    for image, label in zip(images, labels, strict=True):
        interpreter.set_tensor(source, image[np.newaxis])
        interpreter.invoke()
        right += int(interpreter.get_tensor(result)[0].argmax() == label)
    return right / len(images)


def main() -> None:
    """Train, write the three files and print what came out."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=DATA_DIRECTORY, help="directory to fill")
    output: Path = parser.parse_args().output
    images, labels = load_images()
    held_back = held_back_mask(len(images))
    began = time.monotonic()
    with threadpool_limits(limits=1):  # the thread count decides the order of BLAS's sums
        parameters = train(images[~held_back], labels[~held_back])
        tensors = quantise(parameters, images[~held_back])
    print(f"trained on {np.sum(~held_back)} images in {time.monotonic() - began:.0f} s")
    model = write_model(tensors)
    output.mkdir(parents=True, exist_ok=True)
    (output / "digits.tflite").write_bytes(model)
    np.savez_compressed(output / "digits.npz", images=images[held_back], labels=labels[held_back])
    names = "".join(f"{number}\n" for number in range(CLASS_COUNT))
    (output / "digits_labels.txt").write_text(names, encoding="utf-8")
    test = images[held_back], labels[held_back]
    print(f"{len(model)} bytes; on {len(test[0])} images held back:")
    print(f"float     {float_accuracy(parameters, *test):.4f}")
    print(f"quantised {quantised_accuracy(model, *test):.4f}")


if __name__ == "__main__":
    main()

"""Runs a model with a delegate: MODEL DELEGATE INPUT.npy OUT.npz. For tools/mesa_check.py.

It runs under the emulated processor with nothing but tflite_runtime and NumPy.
"""

import sys
import time

import numpy as np
from tflite_runtime.interpreter import Interpreter, load_delegate

model, delegate, picture, out = sys.argv[1:]
start = time.monotonic()
interpreter = Interpreter(model, experimental_delegates=[load_delegate(delegate)])
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.load(picture))
compiled = time.monotonic()
interpreter.invoke()
ended = time.monotonic()
outputs = {
    f"output_{i}": interpreter.get_tensor(details["index"])
    for i, details in enumerate(interpreter.get_output_details())
}
np.savez(out, seconds=[compiled - start, ended - compiled], **outputs)

"""Runs models with a delegate: FOLDER DELEGATE RECORDS. For tools/mesa_grid.py.

It runs under the emulated processor with nothing but tflite_runtime and NumPy. For each N.tflite in
FOLDER, with inputs N.npz, the outputs become N.out.npz, with the number of submits. One that has
N.started and no outputs is passed over: it has ended an earlier run.
"""

import os
import sys

import numpy as np
from tflite_runtime.interpreter import Interpreter, load_delegate

folder, delegate, records = sys.argv[1:]


def submits() -> int:
    """That were made so far."""
    return len([name for name in os.listdir(records) if name.endswith(".npz")])


for name in sorted(name[:-7] for name in os.listdir(folder) if name.endswith(".tflite")):
    path = os.path.join(folder, name)
    if os.path.exists(f"{path}.started"):
        continue
    with open(f"{path}.started", "w", encoding="utf-8"):
        pass
    before = submits()
    interpreter = Interpreter(f"{path}.tflite", experimental_delegates=[load_delegate(delegate)])
    interpreter.allocate_tensors()
    with np.load(f"{path}.npz") as inputs:
        for i, detail in enumerate(interpreter.get_input_details()):
            interpreter.set_tensor(detail["index"], inputs[f"input_{i}"])
    interpreter.invoke()
    outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    np.savez(f"{path}.out.npz", submits=[before, submits()], output_0=outputs[0])
    del interpreter

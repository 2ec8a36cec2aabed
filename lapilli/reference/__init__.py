"""Runs a graph on the CPU in NumPy, in the integers of TFLite's reference kernels."""

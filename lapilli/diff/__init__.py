"""Where NPU and CPU differ, layer by layer."""

"""How LiteRT reaches the NPU: the delegate, the runtime's C structures, inferences."""

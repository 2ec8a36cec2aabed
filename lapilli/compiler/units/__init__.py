"""Per-channel weights in one job a layer: a unit for each channel of an inner tensor."""

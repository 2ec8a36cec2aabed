"""Which bits: coefficient streams, multipliers and shifts, TP moves."""

"""How a graph becomes bytes; read ``stages`` first."""

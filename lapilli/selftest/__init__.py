"""What a board's owner runs once and can send: small models with known results, timed.

``models`` makes them, ``expected`` computes their results in NumPy and shares nothing with the
compiler, ``ladder`` runs them on a device, ``report`` is what comes out.
"""

"""How long would the chip take? Arithmetic from plain numbers to work, and from work to cycles.

The compiler's schedules ask it about jobs that have no bytes yet, the emulator about bytes.
"""

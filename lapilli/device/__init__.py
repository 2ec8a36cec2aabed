"""Who runs it: boards and the emulator by name, parts loaded on them, several in flight."""

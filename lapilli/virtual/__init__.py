"""A virtual NPU: what the kernel's etnaviv driver would answer, with the emulator behind it.

``kernel`` answers ioctls; ``parameters``, ``counters``, ``memory``, ``objects``, ``submit`` and
``fences`` are its parts, ``roles`` records jobs.
``system`` puts it in front of ``lapilli.device.drm`` within one process, ``injection`` makes calls
fail.
"""

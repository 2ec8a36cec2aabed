"""Facts about the hardware as declarations; imports nothing else of the package."""

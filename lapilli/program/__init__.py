"""What is handed from the compiler to a device: programs, recordings, the device protocol."""

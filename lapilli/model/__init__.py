"""What the .tflite says: the file's structure, the graph every stage works on."""

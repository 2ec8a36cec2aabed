"""What the model said: pictures in, classes, boxes and drawings out."""

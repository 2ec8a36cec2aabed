"""Files that belong to the package: the sample model "digits" and its held-back images."""

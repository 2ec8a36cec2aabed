"""What the NPU takes, and what it makes of it: one file an operator or family, listed in
``registry``."""

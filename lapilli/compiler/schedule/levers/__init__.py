"""Other ways to have the same bytes, one a file; ``registry`` lists them."""

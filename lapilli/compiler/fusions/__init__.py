"""Which operators of a part become one before lowering: one file a fusion, listed in ``registry``.

A fusion is a function from a part (a graph of its own) to a part that computes the same.
"""

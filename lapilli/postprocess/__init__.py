"""TFLite_Detection_PostProcess on the host: what it computes, in NumPy, without LiteRT.

``options`` reads what the model's file says, ``tables`` turns bytes into real values, ``scores``
orders candidates, ``boxes`` decodes them, ``suppression`` drops those that overlap better ones and
``detection`` does all of it.
"""

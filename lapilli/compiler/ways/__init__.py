"""How an intent is done: one file a way. Which one is chosen: ``v7.py``, ``v8.py`` (the tables in
``generations.py``)."""

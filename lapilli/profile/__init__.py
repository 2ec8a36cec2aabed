"""Where the time goes: from command streams and measured spans to tables, traces and pages.

``events`` has the records; ``stream`` and ``measure`` make them; ``table``, ``json_report``,
``trace``, ``page``, ``node_data`` and ``compare`` show them.
"""

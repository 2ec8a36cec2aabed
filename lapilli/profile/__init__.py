"""Where the time goes: from command streams and measured spans to tables, traces and pages.

``events`` has the records; ``stream``, ``operators``, ``measured`` and ``assemble`` make them;
``table``, ``json_report``, ``trace``, ``page``, ``node_data`` and ``comparison`` show them.
``delegate`` is ``lapilli.Delegate``, ``benchmark`` times inferences as TFLite's program does.
"""

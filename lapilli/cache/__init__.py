"""Compiled programs kept on disk: ``folder`` says where, ``key`` under which name, ``store`` writes
and reads entries, ``programs`` asks the store before the compiler."""

"""A run made visible: time stamps and counters of every call, and the files and displays they go to."""

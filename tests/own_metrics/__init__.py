"""Metrics as somebody outside writes them, reached by dotted names."""

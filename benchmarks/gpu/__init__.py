"""The same code on a GPU: `python benchmarks/gpu`, then `python benchmarks/gpu/section.py FILE.json …`."""

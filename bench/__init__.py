"""Benchmarks: `make bench`. Each starts a house of its own on free ports, and compares itself with something."""

"""Measures what stint promises to be: small, still and quick.

Each number is defined in docs/BENCHMARKS.md, measured from outside the programs, on the release
builds, and printed beside its aim. Nothing here tunes the programs for being measured.
"""

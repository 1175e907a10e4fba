"""Benchmarks: programs that measure every claim about speed."""

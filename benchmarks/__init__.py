"""Benchmarks: the programs behind every claim about speed."""

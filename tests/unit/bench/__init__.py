"""Units of the benchmarks."""

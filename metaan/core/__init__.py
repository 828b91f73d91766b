"""Array mathematics of meta-analysis: numpy and scipy.special only.

Public functions take arrays of shape ``(..., k)``: any number of meta-analyses of k studies each, NaN where a study
is absent, and return arrays of shape ``(...)``. Inside, data lie studies first, shape ``(k, ...)``, so that a value
for each meta-analysis broadcasts without reshaping and sums over studies run along contiguous memory.
"""

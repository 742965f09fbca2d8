"""Speed and memory of babelscope against other ways to do the same: `python -m benchmarks` from the repository root."""

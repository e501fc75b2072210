"""Speed and accuracy held against peers and against measurements that others made; `python -m benchmarks NAME`."""

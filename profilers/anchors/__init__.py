"""The two anchors of a roofline, measured: memory bandwidth and the rate of matrix multiplication."""

"""What a host is, read from /proc and /sys, and what it can do, measured."""

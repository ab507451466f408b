"""What runs tell their operators: traces, logs, counts, and who blocked the loop."""

"""cachetunnel beside others that do the same, measured in one run. See README.md."""

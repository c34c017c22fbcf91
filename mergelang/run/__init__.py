"""The streaming run: reads inputs, runs a plan's programs, writes outputs, all or nothing."""

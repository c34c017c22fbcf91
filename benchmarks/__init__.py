"""Speed of merges, against the machine's floor and against other tools."""

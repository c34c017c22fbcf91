"""Tree to graph, typed as it is built: the only package that knows both what was written and what it means."""

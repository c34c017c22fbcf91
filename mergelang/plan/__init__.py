"""Graph, headers and budget to a plan: which sweeps, which program on which tensor, and what it will take."""

"""What computes: kernels on blocks of tensors, streaming statistics and random masks. Knows torch, and no files."""

"""What was written: text to tree and back."""

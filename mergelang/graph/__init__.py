"""What a recipe means: one small graph of typed, interned operations over whole models."""

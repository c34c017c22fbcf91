"""Statistics of a model on data, such as its Fisher information: what data-driven merges weigh by."""

"""Environments: Gymnasium ones and their batched twins in tensors. They know nothing of those who act in them."""

"""A student larger than a device: its weights, gradients and optimizer states dealt out over the processes (FSDP2)."""

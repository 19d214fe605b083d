"""Parts of the GPU benchmark; each runs in a process of its own."""

"""The click-stream: taking records of what readers look at, keeping them for some days."""

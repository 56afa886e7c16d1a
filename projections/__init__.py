"""What readers see: projections, their tables and their queries side by side."""

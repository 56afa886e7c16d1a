"""What infra.wiring puts together, opened on a real data folder."""

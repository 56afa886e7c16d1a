"""The streaming profile on one machine for development: engines, balancer, demo world."""

"""The streaming profile on one machine: what `starling up` starts and `starling down` ends."""

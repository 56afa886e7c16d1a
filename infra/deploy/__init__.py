"""Files that deploy Starling."""

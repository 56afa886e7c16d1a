"""Stand-ins for engines that no test machine has: test doubles over real connections."""

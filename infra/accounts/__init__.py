"""What people sign in with, beside the log: one file for each place where accounts can lie."""

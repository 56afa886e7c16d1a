"""Long trials from outside: `make test` runs a bounded part of each, `make soak` all of them."""

"""Images: taking them in, keeping them, and removing those that nothing shows any more."""

"""What the adapters of MongoDB do where no server is needed."""

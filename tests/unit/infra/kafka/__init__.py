"""What the adapters of Kafka do where no broker is needed."""

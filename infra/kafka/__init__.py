"""Apache Kafka: the feed."""

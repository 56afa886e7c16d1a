"""The streaming profile: Apache Kafka, Faust workers and MongoDB."""

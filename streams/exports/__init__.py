"""Where replayed events go: files that are gone on with, folders of Parquet, streams of bytes."""

//! Event-based clustering of captions: embeddings, size-bounded clusters, a report of their quality.

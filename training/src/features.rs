//! Encoder features of clips and videos, made as the daemon makes them.

//! Media files of time lines, through GStreamer.

//! The ways into the graph, and what addresses call them.

/// The ways into the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// A file on this machine.
    File,
    /// HTTP or HTTPS: a file, a stream, or an HLS or DASH playlist.
    Http,
    /// RTSP over TCP (`rtsp`, `rtspt`, `rtsps`) or UDP (`rtspu`).
    Rtsp,
    /// RTMP.
    Rtmp,
    /// SRT carrying MPEG-TS.
    Srt,
    /// UDP carrying MPEG-TS.
    Udp,
    /// Generated pictures and sounds.
    Test,
}

/// What stands before `://`, in lower case.
pub(super) const SCHEMES: [(&str, Scheme); 13] = [
    ("file", Scheme::File),
    ("http", Scheme::Http),
    ("https", Scheme::Http),
    ("rtsp", Scheme::Rtsp),
    ("rtspt", Scheme::Rtsp),
    ("rtspu", Scheme::Rtsp),
    ("rtsps", Scheme::Rtsp),
    ("rtmp", Scheme::Rtmp),
    ("rtmps", Scheme::Rtmp),
    ("srt", Scheme::Srt),
    ("udp", Scheme::Udp),
    ("test", Scheme::Test),
    ("rtmpt", Scheme::Rtmp),
];

//! Serves an MP4 file (H.264 and AAC) as a live RTSP stream: `cargo run --example serve_rtsp -- FILE [PORT]`.
//! Port 0 is any that is free; the address is printed.
//!
//! Every client that is there shares one broadcast; when the file is over, its clients are told so, and the next one to
//! connect sees it from the start, as with a camera that was restarted.

use anyhow::{Context, bail};
use gstreamer_rtsp_server::prelude::*;
use gstreamer_rtsp_server::{RTSPMediaFactory, RTSPServer, gst::glib};

const USAGE: &str = "usage: serve_rtsp FILE.mp4 [PORT]";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context(USAGE)?;
    let port = arguments.next().unwrap_or_else(|| "8554".to_owned());
    let path = std::fs::canonicalize(&file).with_context(|| format!("cannot read {file}"))?;
    gstreamer::init()?;

    let server = RTSPServer::new();
    server.set_address("127.0.0.1");
    server.set_service(&port);
    let factory = RTSPMediaFactory::new();
    let location =
        path.to_str().context("the path is not valid UTF-8")?.replace('\\', "\\\\").replace('"', "\\\"");
    factory.set_launch(&format!(
        "( filesrc location=\"{location}\" ! qtdemux name=d \
           d.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 \
           d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )"
    ));
    factory.set_shared(true);
    let mounts = server.mount_points().context("the server has no mount points")?;
    mounts.add_factory("/scene", factory);
    let Ok(_attached) = server.attach(None) else { bail!("port {port} cannot be used; choose another one") };
    println!("rtsp://127.0.0.1:{}/scene", server.bound_port());
    glib::MainLoop::new(None, false).run();
    Ok(())
}

//! A real RTSP server in this process that serves a file as a live stream, as a camera would.

use std::path::Path;

use gstreamer::glib;
use gstreamer_rtsp_server::prelude::*;
use gstreamer_rtsp_server::{RTSPMediaFactory, RTSPServer};

/// The server; it ends with this.
pub struct Camera {
    port: i32,
    main_loop: glib::MainLoop,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Camera {
    /// Serves an MP4 file with H.264 and AAC on a free port of 127.0.0.1.
    pub fn start(file: &Path) -> Self {
        gstreamer::init().expect("GStreamer starts");
        let launch = format!(
            "( filesrc location=\"{}\" ! qtdemux name=d \
               d.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 \
               d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )",
            file.display()
        );
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        let (running, (ready, started)) = (main_loop.clone(), std::sync::mpsc::channel());
        let thread = std::thread::spawn(move || {
            let server = RTSPServer::new();
            server.set_address("127.0.0.1");
            server.set_service("0");
            let factory = RTSPMediaFactory::new();
            factory.set_launch(&launch);
            factory.set_shared(true);
            server.mount_points().expect("mount points").add_factory("/scene", factory);
            let _attached = server.attach(Some(&context)).expect("the port is free");
            ready.send(server.bound_port()).expect("the test waits");
            running.run();
        });
        let port = started.recv().expect("the server starts");
        Self { port, main_loop, thread: Some(thread) }
    }

    pub fn uri(&self) -> String {
        format!("rtsp://127.0.0.1:{}/scene", self.port)
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.main_loop.quit();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

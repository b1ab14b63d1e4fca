//! A real RTSP server that can be made to die.

use std::sync::mpsc;

use gstreamer::glib;
use gstreamer_rtsp_server as server;
use gstreamer_rtsp_server::prelude::*;

/// Serves a launch line at `/cam`; dropping it closes its port and all connections.
pub struct Rtsp {
    port: u16,
    context: glib::MainContext,
    main: glib::MainLoop,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Rtsp {
    /// `port` 0 takes a free one. `configure` is called with every media that is made.
    pub fn serve(
        port: u16,
        line: &str,
        configure: impl Fn(&server::RTSPMedia) + Send + Sync + 'static,
    ) -> Self {
        gstreamer::init().expect("GStreamer starts");
        let context = glib::MainContext::new();
        let main = glib::MainLoop::new(Some(&context), false);
        let (line, inside, looping) = (line.to_owned(), context.clone(), main.clone());
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let server = server::RTSPServer::new();
            server.set_address("127.0.0.1");
            server.set_service(&port.to_string());
            let factory = server::RTSPMediaFactory::new();
            factory.set_launch(&line);
            factory.set_shared(true);
            factory.connect_media_configure(move |_, media| configure(media));
            let mounts = server.mount_points().expect("a server has mount points");
            mounts.add_factory("/cam", factory);
            let source = server.attach(Some(&inside)).expect("the port is free");
            tell.send(server.bound_port()).expect("the test waits");
            looping.run();
            server.client_filter(Some(&mut |_, _| server::RTSPFilterResult::Remove));
            inside.find_source_by_id(&source).expect("attached").destroy();
            // What the clients' ends have to do in this context.
            while inside.iteration(false) {}
        });
        let port = u16::try_from(told.recv().expect("the server starts")).expect("bound");
        Self { port, context, main, thread: Some(thread) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/cam", self.port)
    }
}

impl Drop for Rtsp {
    fn drop(&mut self) {
        let main = self.main.clone();
        self.context.invoke(move || main.quit());
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

/// A camera's sound and pictures without any codec that needs time.
pub const CAMERA: &str = "( videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=20/1 ! \
    identity name=shutter ! jpegenc ! rtpjpegpay name=pay0 pt=26 \
    audiotestsrc is-live=true samplesperbuffer=320 ! audio/x-raw,rate=16000,channels=1 ! audioconvert ! \
    rtpL16pay name=pay1 pt=97 )";

/// A camera without sound.
pub const SILENT: &str = "( videotestsrc is-live=true ! video/x-raw,format=I420,width=160,height=120,framerate=20/1 ! \
    jpegenc ! rtpjpegpay name=pay0 pt=26 )";

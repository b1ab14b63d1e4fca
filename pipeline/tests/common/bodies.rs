//! A server over HTTP/1.1 that gives bodies and nothing else.

use std::io::{Read, Write};
use std::net::TcpListener;

/// Gives each connection, by its number from 0, a body of this media type, and closes it; the port. It serves as long as the process lasts.
pub fn in_turn(kind: &'static str, body: impl Fn(usize) -> Vec<u8> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for (number, client) in listener.incoming().flatten().enumerate() {
            let (mut client, mut request) = (client, [0; 4096]);
            let _asked = client.read(&mut request);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n");
            let _gone = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&body(number)));
        }
    });
    port
}

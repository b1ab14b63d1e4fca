//! The messages of a source's process: two lengths as little-endian `u32`, the event without its pixels or samples as JSON, and
//! those as they are: 8-bit RGB, or little-endian f32.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::source::config::SourceConfig;
use crate::source::cut::{ClipRules, Cut, Made};
use crate::source::event::SourceEvent;

/// What a child is told: first its errand, then orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Errand {
    /// What it watches.
    pub config: SourceConfig,
    /// What it keeps for clips, if anything.
    pub rules: Option<ClipRules>,
    /// What of the file system it may read.
    pub readable: Vec<PathBuf>,
    /// And where it may write clips.
    pub writable: Option<PathBuf>,
}

/// What it is told later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Order {
    /// Watch no longer. Clips may still be wanted.
    Stop,
    /// A clip is wanted.
    Cut {
        /// Which, for the answer.
        id: u64,
        /// At the child's own times.
        cut: Cut,
    },
}

/// What a child says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Message {
    /// The source says something.
    Event(SourceEvent),
    /// What became of a clip.
    Cut {
        /// Which.
        id: u64,
        /// At the child's own times, or why it could not be made.
        result: Result<Made, String>,
    },
    /// Nothing to say, but it runs.
    Alive,
}

/// No message is longer: sixteen million pixels, or a minute of sound.
const LONGEST: usize = 64 << 20;

/// Tells a child something: its length as little-endian `u32`, then JSON.
pub(super) async fn tell(out: &mut (impl AsyncWrite + Unpin), what: &impl Serialize) -> std::io::Result<()> {
    let text = serde_json::to_vec(what)?;
    out.write_u32_le(u32::try_from(text.len()).map_err(std::io::Error::other)?).await?;
    out.write_all(&text).await?;
    out.flush().await
}

/// What is told next; an error where there is nothing any more.
pub(super) async fn told<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<T> {
    let mut text = vec![0; from.read_u32_le().await? as usize];
    from.read_exact(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// Writes one message.
pub(super) async fn write(out: &mut (impl AsyncWrite + Unpin), mut message: Message) -> std::io::Result<()> {
    let payload: Vec<u8> = match &mut message {
        Message::Event(SourceEvent::Frame(frame)) => std::mem::take(&mut frame.frame.data),
        Message::Event(SourceEvent::Audio(audio)) => {
            std::mem::take(&mut audio.samples).iter().flat_map(|sample| sample.to_le_bytes()).collect()
        }
        _ => Vec::new(),
    };
    let header = serde_json::to_vec(&message)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(std::io::Error::other);
    out.write_u32_le(length(&header)?).await?;
    out.write_u32_le(length(&payload)?).await?;
    out.write_all(&header).await?;
    out.write_all(&payload).await?;
    out.flush().await
}

/// Reads one message; an error where there is none any more, or it is none.
pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Message> {
    let header = from.read_u32_le().await? as usize;
    let payload = from.read_u32_le().await? as usize;
    if header > LONGEST || payload > LONGEST {
        let said = format!("a message of {header} and {payload} bytes");
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, said));
    }
    let (mut head, mut body) = (vec![0; header], vec![0; payload]);
    from.read_exact(&mut head).await?;
    from.read_exact(&mut body).await?;
    let mut message: Message = serde_json::from_slice(&head)?;
    match &mut message {
        Message::Event(SourceEvent::Frame(frame)) => frame.frame.data = body,
        Message::Event(SourceEvent::Audio(audio)) => {
            audio.samples =
                body.chunks_exact(4).map(|at| f32::from_le_bytes([at[0], at[1], at[2], at[3]])).collect();
        }
        _ => {}
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use avicuna_models::sample::RgbFrame;

    use super::*;
    use crate::source::event::{End, TimedAudio, TimedFrame};
    use crate::source::failure::{Failure, Kind};
    use crate::timeline::{GridIndex, StreamTime, UtcTime};

    #[tokio::test]
    async fn what_is_written_is_read() {
        let frame = RgbFrame { width: 2, height: 1, aspect: 1.5, data: vec![0, 1, 2, 253, 254, 255] };
        let events = [
            SourceEvent::Frame(TimedFrame {
                at: GridIndex(3),
                stream: StreamTime(4),
                capture: UtcTime(5),
                frame,
            }),
            SourceEvent::Audio(TimedAudio {
                stream: StreamTime(-1),
                capture: UtcTime(i64::MAX),
                samples: vec![0.5, -1.0, f32::MIN_POSITIVE],
            }),
            SourceEvent::Ended(End::Failed(Failure::new(Kind::Decode, "a \"b\""))),
        ];
        let mut bytes = Vec::new();
        for event in events.clone() {
            write(&mut bytes, Message::Event(event)).await.expect("memory");
        }
        write(&mut bytes, Message::Alive).await.expect("memory");
        let mut from = &bytes[..];
        for event in events {
            assert_eq!(read(&mut from).await.expect("a message"), Message::Event(event));
        }
        assert_eq!(read(&mut from).await.expect("a message"), Message::Alive);
        assert!(read(&mut from).await.is_err());
        // Neither lengths nor words of a process gone mad are followed.
        assert!(read(&mut &[0xff; 64][..]).await.is_err());
        assert!(read(&mut &[2, 0, 0, 0, 0, 0, 0, 0, b'{', b'x'][..]).await.is_err());
    }
}

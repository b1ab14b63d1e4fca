//! The messages of a source's process: two lengths as little-endian `u32`, the event without its pixels or samples as JSON, and
//! those as they are: 8-bit RGB, or little-endian f32.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::source::config::SourceConfig;
use crate::source::cut::{ClipRules, Cut, Made};
use crate::source::event::{SourceEvent, TimedFrame};

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
pub enum Message {
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

/// No payload is longer: sixteen million pixels, or a minute of sound.
const LONGEST: usize = 64 << 20;
/// And nothing else that is said.
const LONGEST_WORDS: usize = 1 << 20;

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

/// Reads one message of a child whose frames are `side` pixels high and wide. Its end is an error of kind `UnexpectedEof`; what no child
/// says that is in its right mind, one of kind `InvalidData`.
pub async fn read(from: &mut (impl AsyncRead + Unpin), side: usize) -> std::io::Result<Message> {
    let header = from.read_u32_le().await? as usize;
    let payload = from.read_u32_le().await? as usize;
    if header > LONGEST_WORDS || payload > LONGEST {
        return Err(nonsense(format!("a message of {header} and {payload} bytes")));
    }
    let (mut head, mut body) = (vec![0; header], vec![0; payload]);
    from.read_exact(&mut head).await?;
    from.read_exact(&mut body).await?;
    let mut message: Message =
        serde_json::from_slice(&head).map_err(|error| nonsense(format!("no message: {error}")))?;
    match &mut message {
        Message::Event(SourceEvent::Frame(frame)) => {
            frame.frame.data = body;
            check(frame, side)?;
        }
        Message::Event(SourceEvent::Audio(audio)) => audio.samples = samples(&body)?,
        _ if body.is_empty() => {}
        _ => return Err(nonsense(format!("{payload} bytes that belong to nothing"))),
    }
    Ok(message)
}

/// Whoever looks at a frame trusts its sizes.
fn check(TimedFrame { frame, .. }: &TimedFrame, side: usize) -> std::io::Result<()> {
    let (width, height, bytes) = (frame.width, frame.height, frame.data.len());
    if (width, height) != (side, side) || Some(bytes) != side.checked_mul(side * 3) {
        return Err(nonsense(format!(
            "a frame of {width}x{height} pixels in {bytes} bytes where {side}x{side} were asked for"
        )));
    }
    if !(frame.aspect.is_finite() && frame.aspect > 0.0) {
        return Err(nonsense(format!("a frame {} times as wide as high", frame.aspect)));
    }
    Ok(())
}

fn samples(body: &[u8]) -> std::io::Result<Vec<f32>> {
    let (samples, rest) = body.as_chunks();
    let samples: Vec<f32> = samples.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if !rest.is_empty() || !samples.iter().all(|sample| sample.is_finite()) {
        return Err(nonsense("samples that are no numbers".to_owned()));
    }
    Ok(samples)
}

fn nonsense(said: String) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, said)
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
        let frame = RgbFrame { width: 1, height: 1, aspect: 1.5, data: vec![0, 1, 255] };
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
            assert_eq!(read(&mut from, 1).await.expect("a message"), Message::Event(event));
        }
        assert_eq!(read(&mut from, 1).await.expect("a message"), Message::Alive);
        let end = read(&mut from, 1).await.expect_err("there is no more").kind();
        assert_eq!(end, std::io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn a_process_gone_mad_is_not_followed() {
        let frame = |width, height, aspect, bytes| {
            Message::Event(SourceEvent::Frame(TimedFrame {
                at: GridIndex(0),
                stream: StreamTime(0),
                capture: UtcTime(0),
                frame: RgbFrame { width, height, aspect, data: vec![0; bytes] },
            }))
        };
        let sound = |sample| {
            let (stream, capture) = (StreamTime(0), UtcTime(0));
            Message::Event(SourceEvent::Audio(TimedAudio { stream, capture, samples: vec![sample] }))
        };
        let mut said = vec![vec![0xff; 64], vec![2, 0, 0, 0, 0, 0, 0, 0, b'{', b'x']];
        for message in [
            frame(2, 2, 1.0, 11),
            frame(2, 2, 1.0, 13),
            frame(1, 1, 1.0, 3),
            frame(usize::MAX, usize::MAX, 1.0, 3),
            frame(2, 2, 0.0, 12),
            sound(f32::NAN),
            sound(f32::INFINITY),
        ] {
            let mut bytes = Vec::new();
            write(&mut bytes, message).await.expect("memory");
            said.push(bytes);
        }
        for bytes in said {
            let error = read(&mut &bytes[..], 2).await.expect_err("nonsense");
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
        }
    }
}

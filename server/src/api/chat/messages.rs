//! What is asked and answered, as OpenAI's clients have it, and what this model adds.

use avicuna_pipeline::daemon::{Localized, Reply};
use avicuna_pipeline::stream::{Instant, Modality};
use avicuna_pipeline::timeline::UtcTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A question.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ChatRequest {
    /// The loaded model's name; another is refused.
    pub(super) model: Option<String>,
    /// The last one of the user is the question, with what it is about.
    #[schemars(length(min = 1))]
    pub(super) messages: Vec<ChatMessage>,
    /// Send the answer as server-sent events that end with `[DONE]`.
    #[serde(default)]
    pub(super) stream: bool,
}

/// A message.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub(super) role: String,
    /// Text, or parts.
    pub(super) content: Content,
}

/// What a message says.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Content {
    /// Words only: they say nothing of what they are about.
    Text(#[expect(dead_code, reason = "only its form counts")] String),
    /// Words, and what they are about.
    Parts(Vec<Part>),
}

/// A part of a message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// What a stream has shown.
    StreamSpan {
        /// The stream's id.
        stream_id: String,
        /// From when, RFC 3339; by default from as long ago as is remembered.
        #[schemars(extend("format" = "date-time"))]
        from: Option<String>,
        /// Until when, RFC 3339; by default until now.
        #[schemars(extend("format" = "date-time"))]
        to: Option<String>,
    },
    /// The clip that is kept of an event, watched with the settings of its stream.
    EventClip {
        /// The event's id.
        event_id: String,
    },
    /// A film.
    VideoUrl {
        /// Where it is.
        video_url: VideoUrl,
    },
}

/// Where a film is.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct VideoUrl {
    /// An address that streams may have too.
    pub(super) url: String,
}

/// An answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ChatCompletion {
    /// Drawn for this answer.
    pub(super) id: String,
    /// `chat.completion`.
    pub(super) object: &'static str,
    /// Seconds since 1970.
    pub(super) created: i64,
    /// The model's name.
    pub(super) model: String,
    /// One.
    pub(super) choices: Vec<Choice>,
    /// What it took.
    pub(super) usage: Usage,
    /// What the answer says, for programs.
    pub(super) avicuna: Grounds,
}

/// The answer in words.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Choice {
    /// 0.
    pub(super) index: usize,
    /// The answer.
    pub(super) message: Answer,
    /// `stop`.
    pub(super) finish_reason: &'static str,
}

/// The answer in words.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Answer {
    /// `assistant`.
    pub(super) role: &'static str,
    /// The words.
    pub(super) content: String,
}

/// What an answer took.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Usage {
    /// Not counted: embeddings, not tokens, are read.
    pub(super) prompt_tokens: usize,
    /// Tokens that were generated.
    pub(super) completion_tokens: usize,
    /// Both.
    pub(super) total_tokens: usize,
}

/// What an answer rests on.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Grounds {
    /// What was understood; null when everything was asked for.
    pub(super) query: Option<String>,
    /// What happens, and when.
    pub(super) events: Vec<Grounded>,
    /// What the language model said of each window.
    pub(super) said: Vec<String>,
    /// What was looked at: from and to.
    pub(super) watched: Option<[Instant; 2]>,
}

/// Something that happens.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Grounded {
    /// What.
    pub(super) label: String,
    /// From when.
    pub(super) start: Instant,
    /// Until when.
    pub(super) end: Instant,
    /// 0 to 1.
    pub(super) score: f64,
    /// Seen or heard; null where the model does not say.
    pub(super) modality: Option<Modality>,
}

/// The models that can be asked: one.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Models {
    /// `list`.
    pub(super) object: &'static str,
    /// None while it is being loaded.
    pub(super) data: Vec<ModelView>,
}

/// A model.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ModelView {
    /// Its name.
    pub(super) id: String,
    /// `model`.
    pub(super) object: &'static str,
    /// `local`.
    pub(super) owned_by: &'static str,
}

pub(super) fn completion(reply: Reply) -> ChatCompletion {
    let words = reply.to_string();
    let Reply { query, found, said, watched, model, tokens } = reply;
    let grounded =
        |Localized { label, start, end, score, modality }| Grounded { label, start, end, score, modality };
    ChatCompletion {
        id: format!("chatcmpl-{}", hex::encode(rand::random::<[u8; 12]>())),
        object: "chat.completion",
        created: UtcTime::now().0.div_euclid(1_000_000_000),
        model,
        choices: vec![Choice {
            index: 0,
            message: Answer { role: "assistant", content: words },
            finish_reason: "stop",
        }],
        usage: Usage { prompt_tokens: 0, completion_tokens: tokens, total_tokens: tokens },
        avicuna: Grounds {
            query,
            events: found.into_iter().map(grounded).collect(),
            said,
            watched: watched.map(|(from, to)| [from, to]),
        },
    }
}

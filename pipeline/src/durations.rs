//! Durations as people write them: `"20s"`, `"500ms"`, `"1m 30s"`.

use std::time::Duration;

use jiff::fmt::friendly::{SpanParser, SpanPrinter};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// Reads a duration; the message says how one is written.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let parsed = SpanParser::new().parse_unsigned_duration(text.trim());
    parsed.map_err(|_| format!("\"{text}\" is no duration; write it as \"20s\", \"500ms\" or \"1m 30s\""))
}

/// Writes a duration so that [`parse`] reads it back.
pub(crate) fn print(duration: &Duration) -> String {
    SpanPrinter::new().unsigned_duration_to_string(duration)
}

pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&print(duration))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// For durations that need not be there.
pub(crate) mod optional {
    use super::*;

    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

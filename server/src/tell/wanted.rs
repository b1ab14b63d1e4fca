//! Which records a sink wants.

use avicuna_pipeline::config::RecordKind;

use crate::history::{Aim, Told};

/// Which records a sink wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The sink's name.
    pub sink: String,
    kinds: Vec<RecordKind>,
    rules: Vec<String>,
    streams: Vec<String>,
}

impl Wanted {
    pub fn new(sink: &str, kinds: &[RecordKind], rules: &[String], streams: &[String]) -> Self {
        Self {
            sink: sink.to_owned(),
            kinds: kinds.to_vec(),
            rules: rules.to_vec(),
            streams: streams.to_vec(),
        }
    }

    pub fn takes(&self, told: &Told) -> bool {
        let among = |list: &[String], one: &str| list.is_empty() || list.iter().any(|name| name == one);
        let aimed = |alert: &Aim| among(&self.rules, &alert.rule) && among(&alert.targets, &self.sink);
        self.kinds.contains(&told.what.kind())
            && among(&self.streams, &told.stream)
            && told.alert.as_ref().is_none_or(aimed)
    }

    /// The topics of the kinds.
    pub fn topics(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.topic()).collect()
    }
}

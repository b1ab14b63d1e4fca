//! `/v1/sinks`: who is told, and whether it gets through.

use aide::transform::TransformOperation;
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::{App, Shared};
use crate::history::HistoryError;
use crate::problem::Problem;
use crate::tell::{SinkKind, SinkState, SinkStatus};

/// Everybody who is told.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Sinks {
    /// In the order of the configuration.
    sinks: Vec<SinkStatus>,
}

pub async fn list(State(app): Shared) -> Result<Json<Sinks>, Problem> {
    Ok(Json(Sinks { sinks: statuses(&app).await? }))
}

pub fn list_docs(operation: TransformOperation<'_>) -> TransformOperation<'_> {
    operation.id("listSinks").tag("sinks").summary("Who is told, and whether it gets through").description(
        "The sections `[[webhook]]` and `[[mqtt]]` of the configuration, without anything secret.",
    )
}

async fn statuses(app: &App) -> Result<Vec<SinkStatus>, HistoryError> {
    let mut statuses = Vec::with_capacity(app.sinks.len());
    for sink in &app.sinks {
        statuses.push(sink.status(&app.history).await?);
    }
    Ok(statuses)
}

/// The sinks in the text format of OpenMetrics; nothing without sinks.
pub(super) async fn metrics(app: &App) -> Result<String, HistoryError> {
    type Value = fn(&SinkStatus) -> u64;
    let families: [(&str, &str, &str, Value); 5] = [
        ("up", "gauge", "Whether it gets through", |sink| u64::from(sink.state == SinkState::Up)),
        ("waiting", "gauge", "Records of its kinds that it has not come to", |sink| sink.waiting),
        ("delivered", "counter", "Records that its receiver has taken", |sink| sink.delivered),
        ("refused", "counter", "Records that its receiver has refused for good", |sink| sink.refused),
        ("forgotten", "counter", "Records that the history forgot before it came to them", |sink| {
            sink.forgotten
        }),
    ];
    let sinks = statuses(app).await?;
    let mut text = String::new();
    for (name, of, help, value) in families.iter().filter(|_| !sinks.is_empty()) {
        text += &format!("# HELP avicuna_sink_{name} {help}.\n# TYPE avicuna_sink_{name} {of}\n");
        let suffix = if *of == "counter" { "_total" } else { "" };
        for sink in &sinks {
            let kind = match sink.kind {
                SinkKind::Webhook => "webhook",
                SinkKind::Mqtt => "mqtt",
            };
            let labels = format!("sink=\"{}\",kind=\"{kind}\"", sink.name);
            text += &format!("avicuna_sink_{name}{suffix}{{{labels}}} {}\n", value(sink));
        }
    }
    Ok(text)
}

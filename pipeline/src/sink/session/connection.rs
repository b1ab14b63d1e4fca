//! Whether the sink answers, and what is wrong when it does not.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{End, Session, TICK};
use crate::sink::courier::Sink;
use crate::sink::lane::{PAUSE, PAUSE_MAX};
use crate::sink::report::{Failure, Note};

/// How long the sink may be silent with messages in flight: with a complaint of the client, and without.
const SILENCE_AFTER_COMPLAINT: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(10);

impl Session<'_> {
    /// Until the sink answers. Nothing is sent before: what were sent to a topic that is not there yet could fail while
    /// what is behind it is delivered.
    pub(super) async fn connect(&mut self, shutdown: &CancellationToken) -> ControlFlow<End> {
        let mut pause = PAUSE;
        loop {
            let probed = tokio::select! {
                probed = self.probe() => probed,
                () = shutdown.cancelled() => return ControlFlow::Break(End::Shutdown),
            };
            // The probe only knows that there was no answer; the client's complaint says why.
            while let Ok(note) = self.notes.try_recv() {
                if let Note::Complaint(code, raw) = note {
                    self.complain(code, &raw);
                }
            }
            let complaint = self.complaint.take();
            match probed {
                Ok(()) => {
                    self.lane.board.up(self.lane.topic);
                    return ControlFlow::Continue(());
                }
                Err(reason) => {
                    self.lane.board.down(self.lane.topic, complaint.map_or(reason, |(_, why)| why))
                }
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = shutdown.cancelled() => return ControlFlow::Break(End::Shutdown),
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    pub(super) async fn probe(&self) -> Result<(), String> {
        let courier = self.courier.clone();
        spawn_blocking(move || courier.probe()).await.unwrap_or_else(|error| Err(error.to_string()))
    }

    pub(super) fn complain(&mut self, code: RDKafkaErrorCode, raw: &str) {
        let since = self.complaint.take().map_or_else(Instant::now, |(since, _)| since);
        self.complaint = Some((since, self.explain_code(code, raw)));
    }

    pub(super) fn explain(&self, failure: Failure) -> String {
        match failure {
            Failure::Refused { code, .. } | Failure::Trouble(code) => {
                // The purge of a stopped producer hides what stopped it; the complaint came before.
                match &self.complaint {
                    Some((_, why)) => why.clone(),
                    None => self.explain_code(code, &code.to_string()),
                }
            }
            Failure::Failed(why) => why,
        }
    }

    pub(super) fn explain_code(&self, code: RDKafkaErrorCode, raw: &str) -> String {
        match &self.lane.sink {
            Sink::Kafka(sink) => sink.explain(self.lane.topic, code, raw),
            Sink::Jsonl(_) => raw.to_owned(),
        }
    }

    /// Says when messages have stopped getting through, and, when there are none, whether they would.
    pub(super) async fn watch_connection(&mut self) {
        let topic = self.lane.topic;
        if self.in_flight.is_empty() {
            let Some((since, _)) = &self.complaint else { return };
            // A broker that closes an idle connection is no trouble: ask.
            if since.elapsed() < TICK {
                return;
            }
            match self.probe().await {
                Ok(()) => {
                    self.complaint = None;
                    self.lane.board.up(topic);
                }
                Err(reason) => {
                    let reason = self.complaint.as_ref().map_or(reason, |(_, why)| why.clone());
                    self.lane.board.down(topic, reason);
                }
            }
            return;
        }
        let silence = self.heard.elapsed();
        match &self.complaint {
            Some((_, why)) if silence >= SILENCE_AFTER_COMPLAINT => self.lane.board.down(topic, why.clone()),
            None if silence >= SILENCE => {
                let raw = "it does not acknowledge messages";
                let code = RDKafkaErrorCode::RequestTimedOut;
                self.lane.board.down(topic, self.explain_code(code, raw));
            }
            _ => {}
        }
    }
}

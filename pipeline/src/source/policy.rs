//! When a connection is given up, tried again, or ends the stream: a state machine without clocks or threads.

use std::time::Duration;

use super::config::Reconnect;
use super::event::End;
use super::failure::{Failure, Kind};

/// What the policy knows of the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Terms {
    /// Reconnect, or end?
    pub live: bool,
    /// Start a file again?
    pub loops: bool,
    /// Does the source end by itself though it is live (a test source with a duration)?
    pub ends: bool,
    pub reconnect: Reconnect,
}

/// Where a source stands. Times are durations since it was started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    /// A graph runs and has not delivered yet.
    Connecting,
    /// Samples arrive since then.
    Streaming { since: Duration },
    /// Between two attempts.
    Waiting { until: Duration },
    /// Over.
    Ended,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Say that it is lost, wait, connect.
    Retry { after: Duration, failure: Failure },
    /// Start the file again.
    Again,
    /// Build another graph at once: this one never began.
    Anew { failure: Failure },
    /// Say why and stop.
    End(End),
}

#[derive(Debug)]
pub(super) struct Policy {
    terms: Terms,
    state: State,
    /// Failures since a connection last proved stable.
    failures: u32,
    last_sample: Duration,
    delivered: bool,
    /// A graph that never began was replaced already.
    anew: bool,
}

/// A connection that held this long starts the back-off anew.
const STABLE: Duration = Duration::from_secs(10);

impl Policy {
    pub fn new(terms: Terms) -> Self {
        let (state, last_sample) = (State::Connecting, Duration::ZERO);
        Self { terms, state, failures: 0, last_sample, delivered: false, anew: false }
    }

    #[cfg(test)]
    pub fn state(&self) -> State {
        self.state
    }

    /// A graph was started.
    pub fn connecting(&mut self) {
        self.state = State::Connecting;
        self.delivered = false;
    }

    /// A sample arrived.
    pub fn sample(&mut self, now: Duration) {
        if !matches!(self.state, State::Streaming { .. }) {
            self.state = State::Streaming { since: now };
        }
        self.last_sample = now;
        self.delivered = true;
        self.anew = false;
    }

    /// The graph played to its end. `over`: the source said that nothing will follow, and looking again would show the same again.
    pub fn end_of_stream(&mut self, now: Duration, shown: &str, over: bool, random: f64) -> Step {
        if !self.delivered && !self.terms.live {
            let message = format!("{shown} holds no audio or video that can be decoded");
            return self.end(End::Failed(Failure::new(Kind::NotMedia, message)));
        }
        if self.terms.loops && self.delivered {
            return Step::Again;
        }
        if self.terms.live && !self.terms.ends && !over {
            let failure = Failure::new(Kind::EndedBySource, format!("{shown}: the sender ended the stream"));
            return self.failed(now, failure, random);
        }
        self.end(End::OfFile)
    }

    /// Would a graph that never begins be replaced?
    pub fn may_begin_anew(&self) -> bool {
        !(self.terms.live || self.delivered || self.anew)
    }

    /// Nothing came for too long. A file does not stall: either it holds nothing, or GStreamer's threads missed each
    /// other when the graph was built, which happens once in some hundreds of graphs on a busy machine. So it gets one more.
    pub fn silent(&mut self, now: Duration, failure: Failure, random: f64) -> Step {
        if !self.may_begin_anew() {
            return self.failed(now, failure, random);
        }
        self.anew = true;
        Step::Anew { failure }
    }

    /// The graph failed; `random` is drawn from `0..1` for the jitter.
    pub fn failed(&mut self, now: Duration, failure: Failure, random: f64) -> Step {
        // No retry mends an address that cannot be read or a decoder that is not installed.
        if !self.terms.live || matches!(failure.kind, Kind::BadUri | Kind::NoDecoder) {
            return self.end(End::Failed(failure));
        }
        if let State::Streaming { since } = self.state
            && now.saturating_sub(since) >= STABLE
        {
            self.failures = 0;
        }
        let Reconnect { initial, max, jitter, give_up_after } = self.terms.reconnect;
        let silent = now.saturating_sub(self.last_sample);
        if give_up_after.is_some_and(|limit| silent >= limit) {
            let tried = format!("{failure}; given up after {:.0} s without a sample", silent.as_secs_f64());
            return self.end(End::Failed(Failure::new(Kind::GaveUp, tried)));
        }
        let doubled = initial.saturating_mul(2u32.saturating_pow(self.failures.min(30)));
        self.failures += 1;
        let after = doubled.min(max).mul_f64(1.0 - jitter.clamp(0.0, 1.0) * random);
        self.state = State::Waiting { until: now + after };
        Step::Retry { after, failure }
    }

    fn end(&mut self, end: End) -> Step {
        self.state = State::Ended;
        Step::End(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy(live: bool, give_up_after: Option<Duration>) -> Policy {
        let reconnect = Reconnect { initial: SECOND, max: 10 * SECOND, jitter: 0.5, give_up_after };
        Policy::new(Terms { live, loops: false, ends: false, reconnect })
    }

    fn gone() -> Failure {
        Failure::new(Kind::Unreachable, "cam: refused")
    }

    fn delay(step: Step) -> f64 {
        match step {
            Step::Retry { after, .. } => after.as_secs_f64(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_whose_graph_never_begins_gets_one_more() {
        let mut file = policy(false, None);
        let nothing = || Failure::new(Kind::NotMedia, "film: nothing could be decoded");
        assert!(matches!(file.silent(SECOND, nothing(), 0.0), Step::Anew { .. }));
        file.connecting();
        file.sample(2 * SECOND);
        // It began; what stalls now, and a graph that never begins twice in a row, is the end.
        assert!(matches!(file.silent(9 * SECOND, nothing(), 0.0), Step::End(_)));
        let mut empty = policy(false, None);
        assert!(matches!(empty.silent(SECOND, nothing(), 0.0), Step::Anew { .. }));
        empty.connecting();
        let end = empty.silent(2 * SECOND, nothing(), 0.0);
        assert!(matches!(&end, Step::End(End::Failed(failure)) if failure.kind == Kind::NotMedia), "{end:?}");
        let mut live = policy(true, None);
        assert!(matches!(live.silent(SECOND, nothing(), 0.0), Step::Retry { .. }));
    }

    #[test]
    fn delays_double_up_to_the_limit_and_jitter_shortens_them() {
        let mut policy = policy(true, None);
        let mut delays = Vec::new();
        for attempt in 0..6 {
            policy.connecting();
            delays.push(delay(policy.failed(attempt * SECOND, gone(), 0.0)));
        }
        assert_eq!(delays, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        assert_eq!(delay(policy.failed(9 * SECOND, gone(), 1.0)), 5.0);
    }

    #[test]
    fn a_connection_that_held_starts_the_delays_anew_and_a_short_one_does_not() {
        let mut policy = policy(true, None);
        policy.failed(SECOND, gone(), 0.0);
        policy.connecting();
        policy.sample(2 * SECOND);
        assert_eq!(delay(policy.failed(5 * SECOND, gone(), 0.0)), 2.0);
        policy.connecting();
        policy.sample(8 * SECOND);
        assert_eq!(policy.state(), State::Streaming { since: 8 * SECOND });
        policy.sample(30 * SECOND);
        assert_eq!(delay(policy.failed(30 * SECOND, gone(), 0.0)), 1.0);
        assert_eq!(policy.state(), State::Waiting { until: 31 * SECOND });
    }

    #[test]
    fn it_gives_up_when_told_to() {
        let mut policy = policy(true, Some(60 * SECOND));
        policy.sample(30 * SECOND);
        assert!(matches!(policy.failed(89 * SECOND, gone(), 0.0), Step::Retry { .. }));
        let Step::End(end) = policy.failed(90 * SECOND, gone(), 0.0) else { panic!("must end") };
        assert_eq!(
            end.to_string(),
            "gave-up: unreachable: cam: refused; given up after 60 s without a sample"
        );
        assert_eq!(policy.state(), State::Ended);
    }

    #[test]
    fn files_end_and_live_sources_return() {
        let mut file = policy(false, None);
        file.sample(SECOND);
        assert_eq!(file.end_of_stream(SECOND, "a.mp4", false, 0.0), Step::End(End::OfFile));
        let Step::End(end) = policy(false, None).end_of_stream(SECOND, "a.mp4", false, 0.0) else { panic!() };
        assert!(end.to_string().starts_with("not-media: a.mp4 holds no audio or video"));
        assert!(matches!(policy(false, None).failed(SECOND, gone(), 0.0), Step::End(_)));
        let mut live = policy(true, None);
        live.sample(SECOND);
        let Step::Retry { failure, .. } = live.end_of_stream(SECOND, "cam", false, 0.0) else {
            panic!("must retry")
        };
        assert!(failure.to_string().starts_with("ended-by-source: cam"));
        assert!(matches!(live.failed(SECOND, Failure::new(Kind::NoDecoder, "x"), 0.0), Step::End(_)));
        assert_eq!(live.end_of_stream(SECOND, "live.m3u8", true, 0.0), Step::End(End::OfFile));
    }

    #[test]
    fn a_looping_file_starts_again_unless_it_is_empty() {
        let mut looping =
            Policy::new(Terms { live: false, loops: true, ends: false, reconnect: Reconnect::default() });
        looping.sample(SECOND);
        assert_eq!(looping.end_of_stream(SECOND, "a.mp4", false, 0.0), Step::Again);
        looping.connecting();
        assert!(matches!(looping.end_of_stream(SECOND, "a.mp4", false, 0.0), Step::End(_)));
    }
}

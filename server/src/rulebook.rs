//! The rules of a running daemon, and what they have seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use avicuna_pipeline::daemon::Observer;
use avicuna_pipeline::outbox::Message;
use avicuna_pipeline::record::{StreamRecord, WindowRecord};

use crate::history::{History, HistoryError, query};
use crate::rules::{Alert, Rule, Watchers};

/// Rules at work. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Rulebook {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    rules: BTreeMap<String, Rule>,
    watchers: Watchers,
}

impl Rulebook {
    /// The rules that a history remembers.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn of(history: &History) -> Result<Self, HistoryError> {
        let kept = history.read(|file| Ok(query::rules(file)?)).await?;
        let rules = kept.into_iter().map(|(id, rule)| Ok((id, serde_json::from_str(&rule)?)));
        let rules = rules.collect::<Result<_, HistoryError>>()?;
        Ok(Self { inner: Arc::new(Mutex::new(Inner { rules, watchers: Watchers::default() })) })
    }

    /// Every rule with its id.
    pub fn list(&self) -> Vec<(String, Rule)> {
        self.lock().rules.iter().map(|(id, rule)| (id.clone(), rule.clone())).collect()
    }

    /// One rule.
    pub fn get(&self, id: &str) -> Option<Rule> {
        self.lock().rules.get(id).cloned()
    }

    /// Adds a rule; `false` when there is one of this id.
    pub fn add(&self, id: String, rule: Rule) -> bool {
        let mut inner = self.lock();
        if inner.rules.contains_key(&id) {
            return false;
        }
        inner.rules.insert(id, rule);
        true
    }

    /// Makes a rule another one; `false` when there is none of this id.
    pub fn change(&self, id: &str, rule: Rule) -> bool {
        let mut inner = self.lock();
        inner.watchers.forget(id);
        inner.rules.get_mut(id).map(|kept| *kept = rule).is_some()
    }

    /// Removes a rule.
    pub fn remove(&self, id: &str) {
        let mut inner = self.lock();
        inner.rules.remove(id);
        inner.watchers.forget(id);
    }

    /// Keeps a rule over restarts.
    ///
    /// # Errors
    /// When the history cannot be written.
    pub async fn keep(&self, history: &History, id: &str) -> Result<(), HistoryError> {
        let Some(rule) = self.get(id) else { return Ok(()) };
        let (id, rule) = (id.to_owned(), serde_json::to_string(&rule)?);
        history.change(move |file| Ok(query::keep_rule(file, &id, &rule)?)).await
    }

    /// What the rules make of windows.
    fn look(&self, windows: &[WindowRecord]) -> Vec<Alert> {
        let mut inner = self.lock();
        let Inner { rules, watchers } = &mut *inner;
        let each = windows.iter().flat_map(|window| rules.iter().map(move |(id, rule)| (window, id, rule)));
        each.filter_map(|(window, id, rule)| watchers.look(id, rule, window)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what happens, and lets the rules look at it.
#[derive(Debug, Clone)]
pub struct Onlooker {
    pub history: History,
    pub rules: Rulebook,
}

impl Observer for Onlooker {
    fn stored(&self, messages: &[Message], windows: &[WindowRecord], streams: &[StreamRecord]) {
        self.history.keep(messages, windows, streams, self.rules.look(windows));
    }
}

//! What a model's answers about a window say, all questions together: the words of the LLM, and the evidence of the encoders where
//! they have classes of their own.

use std::sync::Arc;

use avicuna_models::answer::Answer;
use avicuna_models::evidence::{Evidence, Presence};
use avicuna_models::localizer::{Localizer, WindowAnswer};
use avicuna_models::manifest::{EvidenceSpec, PromptSpec};
use avicuna_models::vocabulary::Vocabulary;
use avicuna_models::wording::Meaning;

use super::evidence::Witness;
use super::{Asked, Asking, Inquiry, Phrases, Reading, both, read};

/// Reads the answers of one model.
#[derive(Debug, Clone)]
pub struct Reader {
    phrases: Phrases,
    knowledge: Option<Knowledge>,
}

/// What the encoders' classes are called, and how they are heard.
#[derive(Debug, Clone)]
struct Knowledge {
    vocabulary: Arc<Vocabulary>,
    spec: EvidenceSpec,
    presence: Option<Arc<Presence>>,
    prompt: PromptSpec,
}

/// Whose word counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Voices {
    /// The LLM's, with the encoders' evidence where there is any.
    #[default]
    Both,
    /// The LLM's alone.
    Llm,
    /// The encoders' evidence alone: the taggers that a model must be better than.
    Taggers,
}

impl Reader {
    /// Of the model that is loaded.
    pub fn of(localizer: &Localizer) -> Self {
        let manifest = localizer.manifest();
        let knowledge = localizer.vocabulary().map(|vocabulary| Knowledge {
            vocabulary: vocabulary.clone(),
            spec: manifest.evidence.clone(),
            presence: localizer.presence().cloned(),
            prompt: manifest.prompt.clone(),
        });
        Self { phrases: Phrases::of(&manifest.prompt), knowledge }
    }

    /// Of a model with these words for nothing, whose encoders have no classes.
    pub fn of_words(phrases: Phrases) -> Self {
        Self { phrases, knowledge: None }
    }

    /// How a question is put to the model; `meaning` is that of a query.
    pub fn inquire(&self, asking: &Asking, meaning: Meaning) -> Inquiry {
        let meant: Vec<usize> = meaning.phrases.into_iter().map(|meant| meant.phrase).collect();
        let known = self.knowledge.as_ref().zip(meant.first());
        let text = known.map_or_else(
            || asking.text.clone(),
            |(knowledge, phrase)| {
                knowledge.prompt.ground_question(&knowledge.vocabulary.phrases()[*phrase].text)
            },
        );
        Inquiry { asked: asking.asked.clone(), text, meant, subject: meaning.subject }
    }

    /// How all questions of a stream are put to `localizer`. Queries that cannot be read are asked as they are, and said in the log.
    pub fn inquiries(&self, asking: &[Asking], localizer: &Localizer) -> Vec<Inquiry> {
        let queries = asking.iter().filter_map(|asking| match &asking.asked {
            Asked::Detect => None,
            Asked::Ground { label } => Some(label.as_str()),
        });
        let queries: Vec<&str> = queries.collect();
        let meanings = localizer.meanings(&queries).unwrap_or_else(|error| {
            tracing::warn!(?queries, %error, "the queries are asked as they are");
            Vec::new()
        });
        let mut meanings = meanings.into_iter();
        let mut meaning = |asked: &Asked| match asked {
            Asked::Detect => Meaning::default(),
            Asked::Ground { .. } => meanings.next().unwrap_or_default(),
        };
        asking.iter().map(|asking| self.inquire(asking, meaning(&asking.asked))).collect()
    }

    /// What the LLM may say happens in a window of `seconds` with this evidence, sentence by sentence: the window's text is the same, sooner
    /// where it does.
    pub fn expected(&self, evidence: &Evidence, seconds: f64) -> Vec<String> {
        let Some(Knowledge { vocabulary, spec, presence, prompt }) = &self.knowledge else {
            return Vec::new();
        };
        let expected =
            both::expected(evidence, &Witness { vocabulary, spec, presence: presence.as_deref(), seconds });
        if expected.is_empty() { vec![prompt.nothing.clone()] } else { expected }
    }

    /// What the answers to `inquiries` say of a window of `seconds`, one reading for each.
    pub fn read(
        &self,
        inquiries: &[Inquiry],
        answer: &WindowAnswer,
        seconds: f64,
        voices: Voices,
    ) -> Vec<Reading> {
        let heard = self.knowledge.as_ref().zip(answer.evidence.as_ref()).filter(|_| voices != Voices::Llm);
        let one = |(inquiry, answer): (&Inquiry, &Answer)| {
            let mut reading = read(&inquiry.asked, answer, &self.phrases);
            if voices == Voices::Taggers {
                reading = Reading::default();
            }
            let Some((Knowledge { vocabulary, spec, presence, .. }, evidence)) = heard else {
                return reading;
            };
            let witness = Witness { vocabulary, spec, presence: presence.as_deref(), seconds };
            let said = std::mem::take(&mut reading.localizations);
            reading.localizations = match &inquiry.asked {
                Asked::Detect => both::detected(said, evidence, &witness),
                Asked::Ground { label } => both::grounded(label, inquiry, said, evidence, &witness),
            };
            reading.absent &= reading.localizations.is_empty();
            reading
        };
        inquiries.iter().zip(&answer.answers).map(one).collect()
    }
}

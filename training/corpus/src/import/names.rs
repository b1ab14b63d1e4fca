//! What datasets' labels are called here.

use std::collections::HashMap;

use avicuna_models::vocabulary::{Classes, Vocabulary};

use crate::admit::Candidates;

/// Finds the phrase for a dataset's label.
///
/// A label is a phrase's when it is its text, or the name of one of its classes, or one of its wordings; letters and digits are
/// compared, and a leading article does not count: `Running_water` is `running water`, `Baby_cry_infant_cry` is AudioSet's
/// `Baby cry, infant cry`.
#[derive(Debug, Clone, Default)]
pub struct Names {
    phrases: HashMap<String, Option<String>>,
    vocabulary: Option<Vocabulary>,
}

impl Names {
    /// Every dataset's own, in small letters.
    pub fn own() -> Self {
        Self::default()
    }

    /// Those of a vocabulary, where it has one.
    pub fn of(vocabulary: Vocabulary) -> Self {
        let mut phrases: HashMap<String, Option<String>> = HashMap::new();
        let all = vocabulary.phrases();
        let texts = all.iter().map(|phrase| (phrase.text.as_str(), phrase));
        let classes = all.iter().flat_map(|phrase| {
            let names = phrase.audioset.iter().chain(&phrase.coco).chain(&phrase.imagenet);
            names.map(move |name| (name.as_str(), phrase))
        });
        let wordings =
            all.iter().flat_map(|phrase| phrase.asked.iter().map(move |text| (text.as_str(), phrase)));
        // What stands first counts: a phrase before a class, a class before a wording.
        for (name, phrase) in texts.chain(classes).chain(wordings) {
            phrases.entry(plain(name)).or_insert_with(|| Some(phrase.text.clone()));
        }
        // AudioSet's classes that are never told; another list's may be another thing of that name.
        let columns = vocabulary.class_columns(Classes::Audioset);
        for (name, column) in Classes::Audioset.names().zip(columns) {
            if column.is_none() {
                phrases.entry(plain(name)).or_insert(None);
            }
        }
        Self { phrases, vocabulary: Some(vocabulary) }
    }

    /// As [`Names::phrase`], for the clip `id`, which is skipped where it is never told.
    pub(super) fn told(&self, label: &str, id: &str, candidates: &mut Candidates) -> Option<String> {
        let phrase = self.phrase(label);
        if phrase.is_none() {
            candidates.skip(id, format!("never told: {label}"));
        }
        phrase
    }

    /// What a dataset's label is called; `None`: the vocabulary says that it is never told.
    pub fn phrase(&self, label: &str) -> Option<String> {
        match self.phrases.get(&plain(label)) {
            Some(known) => known.clone(),
            None => Some(label.replace('_', " ").trim().to_lowercase()),
        }
    }

    /// Whether one is a kind of the other, or what is seen where the other is heard.
    pub fn related(&self, one: &str, other: &str) -> bool {
        let Some(vocabulary) = &self.vocabulary else { return one == other };
        let (Some(a), Some(b)) = (vocabulary.find(one), vocabulary.find(other)) else { return one == other };
        let with =
            |a: usize, b: usize| vocabulary.phrases()[a].with.is_some_and(|with| vocabulary.is_a(with, b));
        vocabulary.is_a(a, b) || vocabulary.is_a(b, a) || with(a, b) || with(b, a)
    }
}

/// Letters and digits in small, single spaces between words, no article.
fn plain(name: &str) -> String {
    let words: String =
        name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { ' ' }).collect();
    let words: Vec<&str> = words.split_whitespace().collect();
    let article = matches!(words.first(), Some(&("a" | "an" | "the"))) && words.len() > 1;
    words[usize::from(article)..].join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;

    /// A few phrases; all other classes are never told.
    pub fn few() -> Names {
        let taken =
            ["Dog", "Bark", "Speech", "Male speech, man speaking", "Baby cry, infant cry", "Church bell"];
        let silent: Vec<String> = Classes::Audioset
            .names()
            .filter(|name| !taken.contains(name))
            .map(|name| format!("{name:?}"))
            .collect();
        let text = format!(
            "[silent]\naudioset = [{}]\n{}",
            silent.join(", "),
            r#"
            [[phrase]]
            text = "a dog"
            group = "animals"
            audioset = ["Dog", "Bark"]
            asked = ["a doggy"]
            [[phrase]]
            text = "a person speaks"
            group = "people"
            audioset = ["Speech", "Male speech, man speaking"]
            [[phrase]]
            text = "a person cries"
            group = "people"
            [[phrase]]
            text = "a baby cries"
            group = "people"
            is = "a person cries"
            audioset = ["Baby cry, infant cry"]
            [[phrase]]
            text = "a church bell"
            group = "instruments"
            audioset = ["Church bell"]
            "#
        );
        Names::of(Vocabulary::parse(&text, Path::new("few.toml")).expect("a vocabulary"))
    }

    #[test]
    fn labels_of_the_same_name_are_one() {
        let names = few();
        let phrase = |label: &str| names.phrase(label);
        for label in ["Dog", "dog", "a dog", "Bark", "A doggy"] {
            assert_eq!(phrase(label).as_deref(), Some("a dog"), "{label}");
        }
        assert_eq!(phrase("Baby_cry_infant_cry").as_deref(), Some("a baby cries"));
        assert_eq!(phrase("people marching").as_deref(), Some("people marching"));
        assert_eq!(phrase("Alarm_bell_ringing").as_deref(), Some("alarm bell ringing"));
        assert_eq!(phrase("White noise"), None, "it is silent");
        assert_eq!(Names::own().phrase("White_Noise").as_deref(), Some("white noise"));
        assert!(names.related("a baby cries", "a person cries") && !names.related("a dog", "a baby cries"));
        assert!(names.related("x", "x") && !names.related("x", "a dog"));
    }
}

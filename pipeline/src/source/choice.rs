//! What of several tracks is wanted.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of a source's tracks of one kind is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
#[schemars(with = "Written")]
pub enum TrackChoice {
    /// What the container marks as default, or else the first.
    #[default]
    Default,
    /// The one of this number, counted from 0 within its kind.
    Index(usize),
    /// The first in this language, as the container writes it: mostly two letters (ISO 639-1).
    Language(String),
}

/// As it stands in a configuration: a number, a language, or "default".
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    Number(usize),
    Word(String),
}

impl FromStr for TrackChoice {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "default" => Ok(Self::Default),
            _ if (2..=35).contains(&word.len())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') =>
            {
                Ok(Self::Language(word.to_owned()))
            }
            _ => Err(format!(
                "\"{word}\" is neither \"default\" nor a language like \"de\" nor a number from 0"
            )),
        }
    }
}

impl TryFrom<Written> for TrackChoice {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(index) => Ok(Self::Index(index)),
            Written::Word(word) => word.parse(),
        }
    }
}

impl From<TrackChoice> for Written {
    fn from(choice: TrackChoice) -> Self {
        match choice {
            TrackChoice::Default => Self::Word("default".to_owned()),
            TrackChoice::Index(index) => Self::Number(index),
            TrackChoice::Language(language) => Self::Word(language),
        }
    }
}

impl fmt::Display for TrackChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Index(index) => write!(f, "{index}"),
            Self::Language(language) => f.write_str(language),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_number_a_language_or_the_default() {
        let read = |text: &str| serde_json::from_str::<TrackChoice>(text);
        assert_eq!(read("2").expect("a number"), TrackChoice::Index(2));
        assert_eq!(read("\"de\"").expect("a language"), TrackChoice::Language("de".to_owned()));
        assert_eq!(read("\"default\"").expect("the default"), TrackChoice::Default);
        assert!(read("\"the second\"").is_err() && read("-1").is_err() && read("\"\"").is_err());
        assert_eq!(serde_json::to_string(&TrackChoice::Index(1)).expect("JSON"), "1");
    }
}

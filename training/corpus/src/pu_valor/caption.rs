//! Captions as parts of sentences, and as sentences of their own.

/// A caption as a part of a sentence: without its full stop, and with a small letter where its first word allows that.
pub fn phrase(caption: &str) -> String {
    const SMALL: [&str; 24] = [
        "A", "An", "The", "Some", "Several", "Many", "Two", "Three", "Four", "Five", "One", "Someone",
        "People", "There", "In", "On", "At", "With", "While", "This", "These", "His", "Her", "Their",
    ];
    let text = plain(caption);
    let text = text.trim_end_matches(['.', '!', '?', ' ']);
    let first = text.split(' ').next().unwrap_or_default();
    if SMALL.contains(&first) {
        format!("{}{}", first.to_lowercase(), &text[first.len()..])
    } else {
        text.to_owned()
    }
}

/// A caption as a sentence of its own: with a capital letter and a full stop.
pub fn sentence(caption: &str) -> String {
    closed(&plain(caption))
}

/// With a capital letter and a full stop.
pub(super) fn closed(text: &str) -> String {
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return String::new() };
    let stop = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{stop}", first.to_uppercase(), letters.as_str())
}

/// The text with single spaces and without angle brackets, which readers would take for tokens of theirs: `</s>` in a text
/// makes the reference ignore the whole conversation.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c == '<' || c == '>').collect();
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

//! How an answer may go on, guessed before the LLM says it: what is guessed is read in the same pass as the token before it, and counts
//! only where it is what the LLM would have said. A pass over some rows takes hardly longer than one over a single row, so what is
//! guessed rightly is free. Pure.

/// How answers about events begin, any digits for these. A sentence may have another form: then nothing is guessed by it.
const FORM: &str = "From 00 to 00, ";

/// What may come after `said`: the rest of the first of the `expected` sentences that it has begun or not come to yet, whatever its
/// digits; where it has begun another, what the form of answers asks for. Empty where nothing can be guessed.
pub(super) fn continuation(said: &str, expected: &[String]) -> String {
    let begun = said.rfind(". ").map_or(said, |at| &said[at + 2..]);
    let mut rest: Vec<&str> = expected.iter().map(String::as_str).collect();
    for sentence in said.split_inclusive(". ").map(str::trim_end) {
        if let Some(at) = rest.iter().position(|expected| alike(sentence, expected) == Some("")) {
            rest.remove(at);
        }
    }
    if begun.ends_with('.') {
        return rest.first().map_or_else(String::new, |next| format!(" {next}"));
    }
    if let Some(left) = rest.iter().find_map(|expected| alike(begun, expected)) {
        return left.to_owned();
    }
    let left = alike(begun, FORM).unwrap_or_default();
    // Which digits come is not known.
    left.chars().take_while(|c| !c.is_ascii_digit()).collect()
}

/// What is left of `whole` after `begun`, if it begins so, any digit for any other.
fn alike<'a>(begun: &str, whole: &'a str) -> Option<&'a str> {
    let same = |(a, b): (u8, u8)| a == b || (a.is_ascii_digit() && b.is_ascii_digit());
    let is_alike = begun.len() <= whole.len() && begun.bytes().zip(whole.bytes()).all(same);
    whole.get(begun.len()..).filter(|_| is_alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(said: &str, expected: &[&str]) -> String {
        let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        continuation(said, &expected)
    }

    #[test]
    fn what_is_expected_goes_on_where_it_was_begun() {
        let expected = ["From 10 to 20, a dog, heard.", "From 30 to 99, a car, seen."];
        for (said, rest) in [
            ("", "From 10 to 20, a dog, heard."),
            ("From", " 10 to 20, a dog, heard."),
            // Times of its own.
            ("From 1", "0 to 20, a dog, heard."),
            ("From 12", " to 20, a dog, heard."),
            ("From 12 to 33, a", " dog, heard."),
            // The other one.
            ("From 12 to 33, a c", "ar, seen."),
            ("From 12 to 33, a dog, heard.", " From 30 to 99, a car, seen."),
            ("From 12 to 33, a dog, heard. From 4", "0 to 99, a car, seen."),
            ("From 40 to 99, a car, seen. From 12", " to 20, a dog, heard."),
            // Something else was said in between.
            ("From 12 to 33, a cat, seen.", " From 10 to 20, a dog, heard."),
            ("From 12 to 33, a dog, heard. From 40 to 99, a car, seen.", ""),
        ] {
            assert_eq!(guessed(said, &expected), rest, "{said:?}");
        }
    }

    #[test]
    fn without_expectation_the_form_is_known() {
        for (said, rest) in [
            ("", "From "),
            ("From 12", " to "),
            ("From 1", ""),
            ("From 12 to 34", ", "),
            ("From 12 to 34, a zebra", ""),
            ("It does", ""),
            ("From 12 to 34, a zebra, seen.", ""),
            ("Ünd", ""),
        ] {
            assert_eq!(guessed(said, &[]), rest, "{said:?}");
        }
    }
}

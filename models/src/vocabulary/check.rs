//! From the file to a vocabulary whose names all mean something.

use std::collections::HashMap;

use super::{Classes, File, Phrase, Raw, Vocabulary};

type Wrong = (String, String);

pub(super) fn build(file: File) -> Result<Vocabulary, Wrong> {
    let mut by_text = HashMap::new();
    for (index, raw) in file.phrase.iter().enumerate() {
        let place = place(raw);
        if raw.text.trim().is_empty() || raw.text.trim() != raw.text {
            return Err((place, "its text is empty, or has spaces around it".into()));
        }
        if by_text.insert(raw.text.clone(), index).is_some() {
            return Err((place, "stands twice; put the classes of both together".into()));
        }
    }
    let of_class = classes(&file)?;
    let find = |raw: &Raw, key: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => by_text.get(text).copied().map(Some).ok_or_else(|| {
            (place(raw), format!("`{key}` names \"{text}\", which is no phrase of this vocabulary"))
        }),
    };
    let mut phrases = Vec::with_capacity(file.phrase.len());
    for raw in &file.phrase {
        let (is, with) = (find(raw, "is", &raw.is)?, find(raw, "with", &raw.with)?);
        phrases.push(Phrase {
            text: raw.text.clone(),
            group: raw.group.clone(),
            audioset: raw.audioset.clone(),
            imagenet: raw.imagenet.clone(),
            coco: raw.coco.clone(),
            asked: raw.asked.clone(),
            is,
            with,
        });
    }
    circles(&phrases)?;
    wordings(&phrases, &by_text)?;
    let columns = |has: fn(&Phrase) -> bool| {
        phrases.iter().enumerate().filter(|(_, phrase)| has(phrase)).map(|(index, _)| index).collect()
    };
    let seen = columns(|phrase| !phrase.imagenet.is_empty() || !phrase.coco.is_empty());
    let heard = columns(|phrase| !phrase.audioset.is_empty());
    Ok(Vocabulary { seen, heard, of_class, by_text, phrases })
}

fn place(raw: &Raw) -> String {
    format!("the phrase \"{}\"", raw.text)
}

/// The phrase of every class. A class that stands nowhere is an error: it would be forgotten silently.
fn classes(file: &File) -> Result<HashMap<Classes, Vec<Option<usize>>>, Wrong> {
    let mut of_class = HashMap::new();
    for list in Classes::ALL {
        let index: HashMap<&str, usize> = list.names().enumerate().map(|(i, name)| (name, i)).collect();
        let mut found: Vec<Option<Option<usize>>> = vec![None; index.len()];
        let mut take = |place: String, names: &[String], phrase: Option<usize>| {
            for name in names {
                let class = *index
                    .get(name.as_str())
                    .ok_or_else(|| (place.clone(), format!("{} has no class \"{name}\"", list.name())))?;
                if found[class].replace(phrase).is_some() {
                    return Err((place.clone(), format!("{} \"{name}\" stands twice", list.name())));
                }
            }
            Ok(())
        };
        let of = |audioset, imagenet, coco| match list {
            Classes::Audioset => audioset,
            Classes::Imagenet => imagenet,
            Classes::Coco => coco,
        };
        let silent = &file.silent;
        take("[silent]".into(), of(&silent.audioset, &silent.imagenet, &silent.coco), None)?;
        let mut used = false;
        for (phrase, raw) in file.phrase.iter().enumerate() {
            let names: &Vec<String> = of(&raw.audioset, &raw.imagenet, &raw.coco);
            used |= !names.is_empty();
            take(place(raw), names, Some(phrase))?;
        }
        // A vocabulary need not know every list.
        if !used {
            continue;
        }
        if let Some(missing) = list.names().zip(&found).find(|(_, found)| found.is_none()) {
            let reason = format!(
                "{} \"{}\" is in no phrase; put it here if it is not to be told",
                list.name(),
                missing.0
            );
            return Err(("[silent]".into(), reason));
        }
        of_class.insert(list, found.into_iter().map(Option::flatten).collect());
    }
    Ok(of_class)
}

/// No phrase may be a kind of itself.
fn circles(phrases: &[Phrase]) -> Result<(), Wrong> {
    for (start, phrase) in phrases.iter().enumerate() {
        let mut at = phrase.is;
        for _ in 0..phrases.len() {
            match at {
                Some(next) if next != start => at = phrases[next].is,
                Some(_) => {
                    let place = format!("the phrase \"{}\"", phrase.text);
                    return Err((place, "is a kind of itself by way of `is`".into()));
                }
                None => break,
            }
        }
    }
    Ok(())
}

/// A wording that stands for two phrases would be a lottery.
fn wordings(phrases: &[Phrase], by_text: &HashMap<String, usize>) -> Result<(), Wrong> {
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (index, phrase) in phrases.iter().enumerate() {
        for wording in &phrase.asked {
            let other = known.insert(wording, index).or_else(|| by_text.get(wording.as_str()).copied());
            if let Some(other) = other {
                let place = format!("the phrase \"{}\"", phrase.text);
                let reason =
                    format!("`asked` has \"{wording}\", which is \"{}\" already", phrases[other].text);
                return Err((place, reason));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Vocabulary;

    fn parse(text: &str) -> Result<Vocabulary, String> {
        Vocabulary::parse(text, Path::new("words.toml")).map_err(|error| error.to_string())
    }

    /// All of COCO: `more` takes what it names, the rest is silent.
    fn coco(taken: &[&str], phrases: &str) -> String {
        let rest: Vec<String> = super::Classes::Coco
            .names()
            .filter(|name| !taken.contains(name))
            .map(|name| format!("\"{name}\""))
            .collect();
        format!("[silent]\ncoco = [{}]\n{phrases}", rest.join(", "))
    }

    #[test]
    fn phrases_have_columns_kinds_and_wordings() {
        let text = coco(
            &["dog", "cat", "person"],
            r#"
            [[phrase]]
            text = "an animal"
            group = "animals"
            [[phrase]]
            text = "a dog"
            group = "animals"
            coco = ["dog"]
            is = "an animal"
            asked = ["a doggy"]
            [[phrase]]
            text = "a person"
            group = "people"
            coco = ["person", "cat"]
            "#,
        );
        let vocabulary = parse(&text).expect("it is right");
        assert_eq!((vocabulary.seen(), vocabulary.heard()), ([1, 2].as_slice(), [].as_slice()));
        assert!(vocabulary.is_a(1, 0) && vocabulary.is_a(1, 1) && !vocabulary.is_a(0, 1));
        let columns = vocabulary.class_columns(super::Classes::Coco);
        let of = |name: &str| columns[super::Classes::Coco.names().position(|n| n == name).expect(name)];
        assert_eq!((of("dog"), of("person"), of("cat"), of("car")), (Some(0), Some(1), Some(1), None));
        assert!(vocabulary.class_columns(super::Classes::Audioset).is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_phrase() {
        let dog = "[[phrase]]\ntext = \"a dog\"\ngroup = \"animals\"\ncoco = [\"dog\"]\n";
        let cases = [
            (coco(&["dog"], &dog.replace("\"dog\"", "\"wolf\"")), "coco has no class \"wolf\""),
            (coco(&[], dog), "coco \"dog\" stands twice"),
            (coco(&["dog", "cat"], dog), "coco \"cat\" is in no phrase"),
            (coco(&["dog"], &format!("{dog}is = \"a pet\"\n")), "\"a pet\", which is no phrase"),
            (coco(&["dog"], &format!("{dog}is = \"a dog\"\n")), "a kind of itself"),
            (coco(&["dog"], &format!("{dog}{dog}")), "stands twice"),
            (coco(&["dog"], &format!("{dog}asked = [\"a dog\"]\n")), "already"),
            (coco(&["dog"], &format!("{dog}colour = \"brown\"\n")), "colour"),
        ];
        for (text, expected) in cases {
            let error = parse(&text).expect_err(expected);
            assert!(error.contains(expected) && error.contains("words.toml"), "{error}");
        }
    }
}

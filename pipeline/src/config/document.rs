//! From text and environment to a [`Config`]: overrides, secrets kept elsewhere, `[defaults]`.

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use super::{Config, ConfigError, Places, Problem};

/// What the names of variables that override a field start with.
const PREFIX: &str = "AVICUNA__";

/// Reads a configuration; what it says is not checked yet.
pub(super) fn read(
    text: &str,
    file: &str,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Places), ConfigError> {
    let mut places = Places::new(file, text);
    let mut variables: Vec<_> = env.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    let mut root = DeTable::parse(text).map_err(|error| places.problem_at(error.span(), error.message()))?;
    for (name, value) in &variables {
        let span = places.variable(name);
        let table = root.get_mut();
        set(table, name, value, &span).map_err(|message| places.problem_at(Some(span.clone()), &message))?;
    }
    let mut problems = Vec::new();
    resolve_secrets(root.get_mut(), &places, &mut problems);
    fill_defaults(root.get_mut(), &places, &mut problems);
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    places.collect(root.get_ref(), "");
    let config = Config::deserialize(Deserializer::from(root));
    let config = config.map_err(|error| places.problem_at(error.span(), error.message()))?;
    Ok((config, places))
}

/// Reads a document of any kind, a configuration of its own; nothing in the environment changes it.
///
/// # Errors
/// What is no TOML, unknown or missing, with its place.
pub fn parse<T: serde::de::DeserializeOwned>(text: &str, file: &str) -> Result<(T, Places), ConfigError> {
    let mut places = Places::new(file, text);
    let root = DeTable::parse(text).map_err(|error| places.problem_at(error.span(), error.message()))?;
    places.collect(root.get_ref(), "");
    let value = T::deserialize(Deserializer::from(root));
    let value = value.map_err(|error| places.problem_at(error.span(), error.message()))?;
    Ok((value, places))
}

fn key<'i>(name: &str, span: &Range<usize>) -> Spanned<Cow<'i, str>> {
    Spanned::new(span.clone(), Cow::Owned(name.to_owned()))
}

/// Sets the field that `AVICUNA__SECTION__KEY` names. A value that is no TOML is a string.
fn set<'i>(root: &mut DeTable<'i>, name: &str, value: &'i str, span: &Range<usize>) -> Result<(), String> {
    let path: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_lowercase).collect();
    if path.iter().any(String::is_empty) {
        return Err("a part of the name is empty; write AVICUNA__SECTION__KEY".to_owned());
    }
    let value = value_of(value, span);
    let (last, sections) = path.split_last().expect("split gives at least one part");
    let mut table = root;
    let mut sections = sections.iter();
    while let Some(section) = sections.next() {
        if section == "stream" {
            let stream = sections.next().ok_or("name the stream, as AVICUNA__STREAM__ID__KEY")?;
            table = stream_table(table, stream, span)?;
            continue;
        }
        if !table.contains_key(section.as_str()) {
            table.insert(key(section, span), Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
        }
        table = match table.get_mut(section.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Table(table)) => table,
            _ => return Err(format!("\"{section}\" is no section")),
        };
    }
    // The old key would keep its place in the file.
    table.remove(last.as_str());
    table.insert(key(last, span), Spanned::new(span.clone(), value));
    Ok(())
}

/// Reads the value of a variable: TOML, or a string when it is none.
fn value_of<'i>(text: &'i str, span: &Range<usize>) -> DeValue<'i> {
    DeValue::parse(text)
        .map_or(DeValue::String(Cow::Borrowed(text)), |value| respan(value.into_inner(), span))
}

/// The table of the stream with this id (`-` and `.` may be written `_`) or index; the next index makes a new one.
fn stream_table<'t, 'i>(
    root: &'t mut DeTable<'i>,
    stream: &str,
    span: &Range<usize>,
) -> Result<&'t mut DeTable<'i>, String> {
    if !root.contains_key("stream") {
        root.insert(key("stream", span), Spanned::new(span.clone(), DeValue::Array(DeArray::new())));
    }
    let Some(DeValue::Array(streams)) = root.get_mut("stream").map(Spanned::get_mut) else {
        return Err("\"stream\" must be written [[stream]]".to_owned());
    };
    let plain = |id: &str| id.to_lowercase().replace(['-', '.'], "_");
    let id =
        |item: &Spanned<DeValue<'i>>| Some(plain(item.get_ref().as_table()?.get("id")?.get_ref().as_str()?));
    let by_id = streams.iter().position(|item| id(item).is_some_and(|id| id == plain(stream)));
    let index = by_id.or_else(|| stream.parse().ok().filter(|index| *index <= streams.len()));
    let index = index.ok_or_else(|| format!("there is no stream with the id or index \"{stream}\""))?;
    if index == streams.len() {
        streams.push(Spanned::new(span.clone(), DeValue::Table(DeTable::new())));
    }
    match streams.as_mut()[index].get_mut() {
        DeValue::Table(table) => Ok(table),
        _ => Err("\"stream\" must be written [[stream]]".to_owned()),
    }
}

/// Places everything inside a value at `span`.
fn respan<'i>(value: DeValue<'i>, span: &Range<usize>) -> DeValue<'i> {
    let place = |value: Spanned<DeValue<'i>>| Spanned::new(span.clone(), respan(value.into_inner(), span));
    match value {
        DeValue::Array(items) => DeValue::Array(items.into_iter().map(place).collect()),
        DeValue::Table(table) => {
            let entries = table.into_iter();
            let placed =
                entries.map(|(key, value)| (Spanned::new(span.clone(), key.into_inner()), place(value)));
            DeValue::Table(placed.collect())
        }
        other => other,
    }
}

/// Replaces `{ env = "NAME" }` and `{ file = "PATH" }`, wherever they stand, by what is kept there.
fn resolve_secrets(table: &mut DeTable<'_>, places: &Places, problems: &mut Vec<Problem>) {
    for (_, value) in table.iter_mut() {
        resolve_value(value, places, problems);
    }
}

fn resolve_value(value: &mut Spanned<DeValue<'_>>, places: &Places, problems: &mut Vec<Problem>) {
    let span = value.span();
    match value.get_mut() {
        DeValue::Table(table) => match kept_elsewhere(table) {
            Some(Ok(secret)) => *value.get_mut() = DeValue::String(Cow::Owned(secret)),
            Some(Err(message)) => problems.push(places.problem_at(Some(span), &message)),
            None => resolve_secrets(table, places, problems),
        },
        DeValue::Array(items) => items.iter_mut().for_each(|item| resolve_value(item, places, problems)),
        _ => {}
    }
}

fn kept_elsewhere(table: &DeTable<'_>) -> Option<Result<String, String>> {
    let (key, value) = table.iter().next().filter(|_| table.len() == 1)?;
    let name = value.get_ref().as_str()?;
    match key.get_ref().as_ref() {
        "env" => Some(std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))),
        "file" => {
            let read = std::fs::read_to_string(name);
            let read = read.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
            Some(read.map_err(|error| format!("{name} cannot be read: {error}")))
        }
        _ => None,
    }
}

/// Moves `[defaults]` into every stream that does not say otherwise.
fn fill_defaults(root: &mut DeTable<'_>, places: &Places, problems: &mut Vec<Problem>) {
    let Some(defaults) = root.remove("defaults") else { return };
    let span = defaults.span();
    let DeValue::Table(defaults) = defaults.into_inner() else {
        problems.push(places.problem_at(Some(span), "defaults must be a section: [defaults]"));
        return;
    };
    for own in ["id", "uri"] {
        if let Some((key, _)) = defaults.get_key_value(own) {
            let message = format!("defaults.{own}: every [[stream]] needs its own; remove it here");
            problems.push(places.problem_at(Some(key.span()), &message));
        }
    }
    if let Some(DeValue::Array(streams)) = root.get_mut("stream").map(Spanned::get_mut) {
        for stream in streams.iter_mut() {
            if let DeValue::Table(stream) = stream.get_mut() {
                fill(stream, &defaults);
            }
        }
    }
}

fn fill<'i>(table: &mut DeTable<'i>, from: &DeTable<'i>) {
    for (key, value) in from {
        match (table.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut), value.get_ref()) {
            (None, _) => {
                table.insert(key.clone(), value.clone());
            }
            (Some(DeValue::Table(inner)), DeValue::Table(from)) => fill(inner, from),
            _ => {}
        }
    }
}

//! Rows of delimited files, with the fields that a reader needs.

use std::path::{Path, PathBuf};

use crate::CorpusError;

/// How a file says which column is which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// Its first line names the columns; others than those that are needed are passed over.
    Named,
    /// It has exactly the columns that are needed, in their order. A first line that names them is passed over.
    Known,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    path: PathBuf,
    /// Counts from 1.
    pub line: usize,
    fields: &'static [&'static str],
    values: Vec<String>,
}

/// The rows of `path`; only files with commas have quotes.
///
/// # Errors
/// When it cannot be read, or a row has too many or too few columns.
pub(super) fn rows(
    path: &Path,
    delimiter: u8,
    fields: &'static [&'static str],
    header: Header,
) -> Result<Vec<Row>, CorpusError> {
    let file = std::fs::File::open(path).map_err(CorpusError::read(path))?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .quoting(delimiter == b',')
        .trim(csv::Trim::All)
        .from_reader(file);
    let mut places: Option<Vec<usize>> = (header == Header::Known).then(|| (0..fields.len()).collect());
    let (mut rows, mut width) = (Vec::new(), fields.len());
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, |position| position.line() as usize);
            CorpusError::record(path, line, "-", error.to_string())
        })?;
        let line = record.position().map_or(0, |position| position.line() as usize);
        let Some(places) = &places else {
            let found = fields.iter().map(|field| {
                let place = record.iter().position(|name| name.eq_ignore_ascii_case(field));
                place.ok_or_else(|| {
                    let all = record.iter().collect::<Vec<_>>().join(", ");
                    CorpusError::record(
                        path,
                        line,
                        *field,
                        format!("the header has no such column; it has {all}"),
                    )
                })
            });
            places = Some(found.collect::<Result<_, _>>()?);
            width = record.len();
            continue;
        };
        let names = |name: (&str, &&str)| name.0.eq_ignore_ascii_case(name.1);
        if rows.is_empty() && header == Header::Known && record.iter().zip(fields).all(names) {
            continue;
        }
        if record.len() != width {
            let reason = format!("the line has {} columns, not {width}", record.len());
            let missing = fields.get(record.len()).copied().unwrap_or("-");
            return Err(CorpusError::record(path, line, missing, reason));
        }
        let values = places.iter().map(|place| record.get(*place).unwrap_or_default().to_owned()).collect();
        rows.push(Row { path: path.to_owned(), line, fields, values });
    }
    Ok(rows)
}

impl Row {
    /// A field, which may be empty.
    pub fn text(&self, field: &'static str) -> &str {
        let place = self.fields.iter().position(|name| *name == field);
        place.and_then(|place| self.values.get(place)).map_or("", String::as_str)
    }

    /// A field that must not be empty.
    pub fn filled(&self, field: &'static str) -> Result<&str, CorpusError> {
        match self.text(field) {
            "" => Err(self.wrong(field, "it is empty")),
            text => Ok(text),
        }
    }

    /// A field that is a number of seconds, 0 or more.
    pub fn seconds(&self, field: &'static str) -> Result<f64, CorpusError> {
        let text = self.filled(field)?;
        let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
        seconds.ok_or_else(|| self.wrong(field, format!("\"{text}\" is not a number of seconds")))
    }

    /// The error that says so.
    pub fn wrong(&self, field: &'static str, reason: impl Into<String>) -> CorpusError {
        CorpusError::record(&self.path, self.line, field, reason)
    }
}

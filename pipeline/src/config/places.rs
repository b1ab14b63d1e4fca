//! Where each field was set.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;

/// Where the fields of a configuration were set, for messages.
#[derive(Debug, Clone, Default)]
pub struct Places {
    file: String,
    /// Byte offset of the start of each line.
    lines: Vec<usize>,
    /// Length of the text; spans behind it stand for environment variables, one byte each.
    length: usize,
    variables: Vec<String>,
    fields: Vec<Field>,
}

#[derive(Debug, Clone)]
struct Field {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
}

impl Places {
    pub(super) fn new(file: &str, text: &str) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self {
            file: file.to_owned(),
            lines: std::iter::once(0).chain(starts).collect(),
            length: text.len(),
            ..Self::default()
        }
    }

    /// A span that stands for an environment variable.
    pub(super) fn variable(&mut self, name: &str) -> Range<usize> {
        self.variables.push(name.to_owned());
        let start = self.length + self.variables.len();
        start..start + 1
    }

    /// Notes where the fields of `table` stand.
    pub(super) fn collect(&mut self, table: &DeTable<'_>, prefix: &str) {
        for (key, value) in table {
            let path = if prefix.is_empty() {
                key.get_ref().to_string()
            } else {
                format!("{prefix}.{}", key.get_ref())
            };
            self.collect_value(path, key.span(), value);
        }
    }

    fn collect_value(&mut self, path: String, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.collect(table, &path),
            DeValue::Array(array) => {
                for (index, item) in array.iter().enumerate() {
                    self.collect_value(format!("{path}[{index}]"), item.span(), item);
                }
            }
            _ => {}
        }
        self.fields.push(Field { path, key, value: value.span() });
    }

    /// A problem with a field. One that was not set is placed at the closest field around it that was.
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        let mut around = Some(path);
        let mut place = None;
        while let (None, Some(path)) = (&place, around) {
            let field = self.fields.iter().find(|field| field.path == path);
            place = field.map(|field| self.at(field.value.start));
            around = path.rfind(['.', '[']).map(|end| &path[..end]);
        }
        let place = place.or_else(|| (!self.file.is_empty()).then(|| self.file.clone()));
        Problem { place, field: path.to_owned(), message: message.into() }
    }

    /// A problem that the TOML reader found in `span`.
    pub(super) fn problem_at(&self, span: Option<Range<usize>>, message: &str) -> Problem {
        let Some(span) = span else {
            return Problem {
                place: Some(self.file.clone()),
                field: String::new(),
                message: message.to_owned(),
            };
        };
        let holds = |range: &Range<usize>| range.start <= span.start && span.end <= range.end;
        // The smallest one around it: inner fields come before those around them.
        let field = self.fields.iter().find(|field| holds(&field.key) || holds(&field.value));
        let field = field.map(|field| field.path.clone()).unwrap_or_default();
        Problem { place: Some(self.at(span.start)), field, message: message.to_owned() }
    }

    fn at(&self, offset: usize) -> String {
        if offset > self.length {
            let name = self.variables.get(offset - self.length - 1).map_or("?", String::as_str);
            return format!("environment variable {name}");
        }
        let line = self.lines.partition_point(|start| *start <= offset);
        let column = offset - self.lines[line - 1] + 1;
        format!("{}:{line}:{column}", self.file)
    }
}

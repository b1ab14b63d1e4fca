//! Which columns of a row each part writes, and how rows become embeddings.

use std::ops::Range;
use std::sync::Arc;

use crate::manifest::OutputSpec;
use crate::sample::{Embedding, Encoding};
use crate::vocabulary::{Classes, Vocabulary};

/// The columns of all parts.
///
/// A part with classes has a column for each phrase of its modality in a row; in the embedding these become one block, the evidence.
/// Parts with the same classes have to agree: their geometric mean counts. Of parts with different classes the surest counts.
/// Behind the evidence stand the other parts' columns as they are.
pub(super) struct Layout {
    parts: Vec<Place>,
    /// Columns of the evidence.
    phrases: usize,
    dim: usize,
}

struct Place {
    /// Its columns of a row.
    row: Range<usize>,
    /// The first of its outputs that is taken.
    from: usize,
    every: usize,
    meaning: Meaning,
}

enum Meaning {
    /// The column of each class; `None`: it is never told.
    Evidence(Classes, Vec<Option<usize>>),
    /// Columns of the embedding from here on.
    Features(usize),
}

impl Layout {
    pub(super) fn new(outputs: &[&OutputSpec], vocabulary: Option<&Vocabulary>) -> Self {
        let known = |classes| vocabulary.map_or(0, |vocabulary| vocabulary.columns_of(classes).len());
        let phrases = outputs.iter().filter_map(|output| output.classes).map(known).max().unwrap_or(0);
        let (mut width, mut dim) = (0, phrases);
        let mut parts = Vec::with_capacity(outputs.len());
        for output in outputs {
            let taken = output.dim - output.from;
            let (columns, meaning) = match output.classes {
                Some(classes) => {
                    let columns = vocabulary.map_or_else(Vec::new, |words| words.class_columns(classes));
                    (phrases, Meaning::Evidence(classes, columns))
                }
                None => {
                    dim += taken;
                    (taken, Meaning::Features(dim - taken))
                }
            };
            let row = width..width + columns;
            width = row.end;
            parts.push(Place { row, from: output.from, every: output.every, meaning });
        }
        Self { parts, phrases, dim }
    }

    /// Columns of an embedding.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// Columns of an embedding that are evidence.
    pub(super) fn evidence(&self) -> usize {
        self.phrases
    }

    /// Columns of a row.
    pub(super) fn width(&self) -> usize {
        self.parts.last().map_or(0, |part| part.row.end)
    }

    pub(super) fn rates(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().map(|part| part.every)
    }

    /// Writes the output of a part into its columns of `row`.
    pub(super) fn put(&self, row: &mut [f32], part: usize, output: &[f32]) {
        let Place { row: columns, from, meaning, .. } = &self.parts[part];
        let (row, taken) = (&mut row[columns.clone()], &output[*from..]);
        match meaning {
            Meaning::Features(_) => row.copy_from_slice(taken),
            Meaning::Evidence(classes, of_class) => {
                for (value, column) in taken.iter().zip(of_class) {
                    if let Some(column) = column {
                        row[*column] = classes.join(row[*column], *value);
                    }
                }
            }
        }
    }

    /// See [`Encoder::rows`](super::Encoder::rows).
    pub(super) fn rows(&self, slots: &[Option<&Encoding>]) -> Vec<Option<Embedding>> {
        // Nothing to merge and nothing to hold: the row is the embedding.
        let plain = matches!(self.parts.as_slice(), [Place { every: 1, .. }]);
        if plain {
            return slots.iter().map(|slot| slot.map(|encoding| encoding.row.clone())).collect();
        }
        let mut rows: Vec<Option<Vec<f32>>> =
            slots.iter().map(|slot| slot.map(|_| vec![0.0; self.dim])).collect();
        for classes in Classes::ALL {
            self.add_evidence(classes, slots, &mut rows);
        }
        for (number, part) in self.parts.iter().enumerate() {
            let Meaning::Features(from) = part.meaning else { continue };
            for (said, row) in said(slots, number).zip(&mut rows) {
                // A row of another width is told where it is used.
                let said = said.and_then(|encoding| encoding.row.get(part.row.clone()));
                if let (Some(row), Some(said)) = (row, said) {
                    row[from..from + said.len()].copy_from_slice(said);
                }
            }
        }
        rows.into_iter().map(|row| row.map(Arc::from)).collect()
    }

    /// What the parts with `classes` say together, where it is more than what others said.
    fn add_evidence(&self, classes: Classes, slots: &[Option<&Encoding>], rows: &mut [Option<Vec<f32>>]) {
        let own = |part: &Place| matches!(part.meaning, Meaning::Evidence(own, _) if own == classes);
        let parts: Vec<usize> = (0..self.parts.len()).filter(|number| own(&self.parts[*number])).collect();
        let Some(share) = (!parts.is_empty()).then(|| 1.0 / parts.len() as f32) else { return };
        let mut columns: Vec<_> = parts.iter().map(|number| said(slots, *number)).collect();
        let mut product = vec![0f32; self.phrases];
        for row in rows {
            product.fill(1.0);
            for (number, column) in parts.iter().zip(&mut columns) {
                let said = column.next().flatten();
                let said = said.and_then(|encoding| encoding.row.get(self.parts[*number].row.clone()));
                match said {
                    Some(said) => product.iter_mut().zip(said).for_each(|(product, said)| *product *= said),
                    None => product.fill(0.0),
                }
            }
            for (evidence, product) in row.iter_mut().flatten().zip(&product) {
                let mean = if parts.len() == 1 { *product } else { product.powf(share) };
                *evidence = evidence.max(mean);
            }
        }
    }
}

/// For each slot what the part said last, or, before its first word, first.
fn said<'a>(
    slots: &'a [Option<&'a Encoding>],
    part: usize,
) -> impl Iterator<Item = Option<&'a Encoding>> + 'a {
    let ran = move |encoding: &&Encoding| encoding.ran >> part & 1 == 1;
    let mut last = slots.iter().flatten().copied().find(ran);
    slots.iter().map(move |slot| {
        last = slot.filter(ran).or(last);
        last
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// "a dog" and "a person" are seen; 80 classes by the detector and two features beside it.
    fn vocabulary() -> Vocabulary {
        let rest: Vec<String> = Classes::Coco
            .names()
            .filter(|name| !["dog", "cat", "person"].contains(name))
            .map(|name| format!("\"{name}\""))
            .collect();
        let text = format!(
            "[silent]\ncoco = [{}]\n[[phrase]]\ntext = \"a pet\"\ngroup = \"animals\"\ncoco = [\"dog\", \"cat\"]\n\
             [[phrase]]\ntext = \"a person\"\ngroup = \"people\"\ncoco = [\"person\"]\n",
            rest.join(", ")
        );
        Vocabulary::parse(&text, Path::new("words.toml")).expect("it is right")
    }

    fn layout() -> Layout {
        let vocabulary = vocabulary();
        let detector =
            OutputSpec { classes: Some(Classes::Coco), every: 2, ..OutputSpec::whole("presence", 80) };
        let features = OutputSpec { from: 1, ..OutputSpec::whole("pooled", 3) };
        Layout::new(&[&detector, &features], Some(&vocabulary))
    }

    fn class(name: &str) -> usize {
        Classes::Coco.names().position(|other| other == name).expect(name)
    }

    #[test]
    fn the_surest_class_of_a_phrase_counts_and_features_follow() {
        let layout = layout();
        assert_eq!((layout.dim(), layout.evidence(), layout.width()), (4, 2, 4));
        let mut row = vec![0.0; 4];
        let mut presence = vec![0.0; 80];
        (presence[class("dog")], presence[class("cat")], presence[class("car")]) = (0.3, 0.6, 0.9);
        layout.put(&mut row, 0, &presence);
        layout.put(&mut row, 1, &[7.0, 8.0, 9.0]);
        assert_eq!(row, [0.6, 0.0, 8.0, 9.0]);
    }

    #[test]
    fn what_a_part_did_not_say_is_what_it_said_last() {
        let layout = layout();
        let encoding = |row: [f32; 4], ran| Encoding { row: Arc::from(row.as_slice()), ran };
        let (first, second) = (encoding([0.0, 0.0, 1.0, 1.0], 0b10), encoding([0.5, 0.0, 2.0, 2.0], 0b11));
        let third = encoding([0.0, 0.0, 3.0, 3.0], 0b10);
        let rows = layout.rows(&[Some(&first), Some(&second), None, Some(&third)]);
        let rows: Vec<Option<&[f32]>> = rows.iter().map(Option::as_deref).collect();
        let expected: [Option<&[f32]>; 4] =
            [Some(&[0.5, 0.0, 1.0, 1.0]), Some(&[0.5, 0.0, 2.0, 2.0]), None, Some(&[0.5, 0.0, 3.0, 3.0])];
        assert_eq!(rows, expected);
    }

    #[test]
    fn parts_with_the_same_classes_have_to_agree() {
        let near = OutputSpec { classes: Some(Classes::Coco), ..OutputSpec::whole("presence", 80) };
        let wide = OutputSpec { every: 2, ..near.clone() };
        let layout = Layout::new(&[&near, &wide], Some(&vocabulary()));
        assert_eq!((layout.dim(), layout.width()), (2, 4));
        let encoding = |row: [f32; 4], ran| Encoding { row: Arc::from(row.as_slice()), ran };
        let (first, second) = (encoding([0.9, 0.1, 0.4, 0.9], 0b11), encoding([0.4, 0.0, 0.0, 0.0], 0b01));
        let rows = layout.rows(&[Some(&first), Some(&second)]);
        let rows: Vec<f32> = rows.iter().flatten().flat_map(|row| row.to_vec()).collect();
        for (found, expected) in rows.iter().zip([0.6, 0.3, 0.4, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{rows:?}");
        }
    }

    #[test]
    fn things_that_exclude_each_other_are_added() {
        assert_eq!(Classes::Imagenet.join(0.7, 0.4), 1.0);
        assert_eq!(Classes::Audioset.join(0.7, 0.4), 0.7);
    }
}

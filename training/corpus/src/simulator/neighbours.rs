//! What an encoder takes for what: measured on its own last layer, see `neighbours/make.py`.

use avicuna_models::vocabulary::{Classes, Vocabulary};

const AUDIOSET: &str = include_str!("neighbours/audioset.txt");
const IMAGENET: &str = include_str!("neighbours/imagenet.txt");
const COCO: &str = include_str!("neighbours/coco.txt");

/// For each column of the classes' modality, other columns that come up with it, the nearest first; none of them for a column
/// that the encoder has no classes for.
pub(super) fn columns(vocabulary: &Vocabulary, classes: Classes) -> Vec<Vec<usize>> {
    let list = match classes {
        Classes::Audioset => AUDIOSET,
        Classes::Imagenet => IMAGENET,
        Classes::Coco => COCO,
    };
    let of_class = vocabulary.class_columns(classes);
    let count = vocabulary.columns_of(classes).len();
    let mut near = vec![vec![0.0f32; count]; count];
    for (line, column) in list.lines().zip(&of_class) {
        let Some(column) = *column else { continue };
        let others = line.split(' ').filter_map(|number| number.parse::<usize>().ok());
        for (rank, other) in (1..).zip(others) {
            // A class that is never told is no mistake.
            if let Some(other) = of_class.get(other).copied().flatten().filter(|other| *other != column) {
                near[column][other] += 1.0 / rank as f32;
            }
        }
    }
    let nearest = |near: Vec<f32>| {
        let mut others: Vec<usize> = (0..count).filter(|other| near[*other] > 0.0).collect();
        others.sort_by(|one, other| near[*other].total_cmp(&near[*one]));
        others
    };
    near.into_iter().map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_have_a_line_for_each_class_that_names_others() {
        for (list, classes) in
            [(AUDIOSET, Classes::Audioset), (IMAGENET, Classes::Imagenet), (COCO, Classes::Coco)]
        {
            let count = classes.names().count();
            assert_eq!(list.lines().count(), count);
            for (index, line) in list.lines().enumerate() {
                let numbers: Vec<usize> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
                assert!(numbers.len() == 12 && numbers.iter().all(|n| *n < count && *n != index), "{line}");
            }
        }
    }
}

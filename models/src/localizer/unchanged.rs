//! A window in which the encoders see and hear nothing else than in the one before is answered as that one was. Pure.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Question;
use crate::answer::Answer;
use crate::encoder::Rows;
use crate::sample::Embedding;

/// Windows that one answer stands for, at most: should it be an unlucky one, it is not for long.
const MOST: usize = 30;

/// What the LLM said about the last window of a stream that it read.
#[derive(Debug)]
pub struct LastWindow {
    tolerance: f32,
    said: Mutex<Option<Said>>,
}

#[derive(Debug)]
struct Said {
    rows: Rows,
    questions: Vec<Question>,
    answers: Vec<Answer>,
    /// Windows that it has answered since.
    again: usize,
}

impl LastWindow {
    /// Of a stream of which nothing is known. Evidence may differ by up to `tolerance`, 0 to 1, in any slot; at 0 windows are alike only
    /// where they are equal.
    pub fn new(tolerance: f32) -> Self {
        Self { tolerance, said: Mutex::default() }
    }

    /// The answers to `questions` about a window with these embeddings, if they are those that were given before. `evidence` are how many
    /// columns of frames and of clips are evidence, the first ones; the others have no scale and have to be equal.
    pub(super) fn answers(
        &self,
        rows: &Rows,
        questions: &[Question],
        [seen, heard]: [usize; 2],
    ) -> Option<Vec<Answer>> {
        let mut said = self.lock();
        let said = said.as_mut().filter(|said| {
            said.again < MOST
                && said.questions == questions
                && self.alike(&said.rows.visual, &rows.visual, seen)
                && self.alike(&said.rows.audio, &rows.audio, heard)
        })?;
        said.again += 1;
        Some(said.answers.clone())
    }

    /// Remembers what the LLM said of a window.
    pub(super) fn keep(&self, rows: Rows, questions: &[Question], answers: &[Answer]) {
        let (questions, answers) = (questions.to_vec(), answers.to_vec());
        *self.lock() = Some(Said { rows, questions, answers, again: 0 });
    }

    fn alike(&self, one: &[Option<Embedding>], other: &[Option<Embedding>], evidence: usize) -> bool {
        let same_row = |(one, other): (&Option<Embedding>, &Option<Embedding>)| match (one, other) {
            (Some(one), Some(other)) => {
                let columns = evidence.min(one.len()).min(other.len());
                let ((sure, rest), (other_sure, other_rest)) =
                    (one.split_at(columns), other.split_at(columns));
                let close = |(one, other): (&f32, &f32)| (one - other).abs() <= self.tolerance;
                sure.iter().zip(other_sure).all(close) && rest == other_rest
            }
            (None, None) => true,
            _ => false,
        };
        one.len() == other.len() && one.iter().zip(other).all(same_row)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Said>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::answer::Finish;

    /// Two slots of two columns each, the second one of no scale.
    fn rows(first: [f32; 2], second: Option<[f32; 2]>) -> Rows {
        let row = |values: [f32; 2]| -> Embedding { Arc::from(values.as_slice()) };
        Rows { visual: vec![Some(row(first)), second.map(row)], audio: Vec::new() }
    }

    fn asked(text: &str) -> Vec<Question> {
        vec![Question { text: text.to_owned(), max_new_tokens: 9 }]
    }

    fn said(text: &str) -> Vec<Answer> {
        vec![Answer { text: text.to_owned(), tokens: Vec::new(), finish: Finish::Stop }]
    }

    fn known(tolerance: f32) -> LastWindow {
        let last = LastWindow::new(tolerance);
        last.keep(rows([0.5, 7.0], Some([0.1, 8.0])), &asked("What?"), &said("a dog"));
        last
    }

    #[test]
    fn what_is_as_before_is_answered_as_before() {
        let last = known(0.05);
        let again = |rows: &Rows| last.answers(rows, &asked("What?"), [1, 0]);
        assert_eq!(again(&rows([0.54, 7.0], Some([0.06, 8.0]))), Some(said("a dog")));
        assert_eq!(again(&rows([0.56, 7.0], Some([0.1, 8.0]))), None, "more sure");
        assert_eq!(again(&rows([0.5, 7.0], Some([0.16, 8.0]))), None, "in one slot");
        assert_eq!(again(&rows([0.5, 7.01], Some([0.1, 8.0]))), None, "a column without a scale");
        assert_eq!(again(&rows([0.5, 7.0], None)), None, "a picture is missing");
        assert_eq!(last.answers(&rows([0.5, 7.0], Some([0.1, 8.0])), &asked("Who?"), [1, 0]), None);
    }

    #[test]
    fn without_a_tolerance_windows_have_to_be_equal() {
        let last = known(0.0);
        assert!(last.answers(&rows([0.5, 7.0], Some([0.1, 8.0])), &asked("What?"), [1, 0]).is_some());
        assert!(last.answers(&rows([0.5, 7.0], Some([0.1001, 8.0])), &asked("What?"), [1, 0]).is_none());
        assert!(LastWindow::new(0.0).answers(&rows([0.5, 7.0], None), &asked("What?"), [1, 0]).is_none());
    }

    #[test]
    fn slow_changes_are_compared_with_what_was_read_and_one_answer_is_not_for_ever() {
        let last = known(0.05);
        let at =
            |sure: f32| last.answers(&rows([sure, 7.0], Some([0.1, 8.0])), &asked("What?"), [1, 0]).is_some();
        assert_eq!([0.52, 0.54, 0.56].map(at), [true, true, false]);
        assert_eq!((0..40).filter(|_| at(0.5)).count(), MOST - 2);
    }
}

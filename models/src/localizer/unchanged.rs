//! A window in which the encoders see and hear nothing else than in the last one that the LLM read is answered as that one was. Pure.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

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
    answers: Answers,
    /// Windows that it has answered since.
    again: usize,
}

/// The answers about a window, once the LLM has given them.
pub(super) type Answers = Arc<OnceLock<Vec<Answer>>>;

/// Where the answers about a window are, or will be.
#[derive(Debug)]
pub(super) enum Word {
    /// The LLM is to read the window and to give them.
    Wanted(Answers),
    /// They are those about a window before, of the same batch perhaps.
    Given(Answers),
}

impl LastWindow {
    /// Of a stream of which nothing is known. Evidence may differ by up to `tolerance`, 0 to 1, in any slot; at 0 windows are alike only
    /// where they are equal.
    pub fn new(tolerance: f32) -> Self {
        Self { tolerance, said: Mutex::default() }
    }

    /// Takes the stream's next window, of which these are the embeddings: its answers are those that were given before if nothing has changed.
    /// `evidence` are how many columns of frames and of clips are evidence, the first ones; the others have no scale and have to be equal.
    ///
    /// Windows have to come in their order, so that what is said does not depend on how many of them make a batch.
    pub(super) fn next(&self, rows: &Rows, questions: &[Question], [seen, heard]: [usize; 2]) -> Word {
        let mut said = self.lock();
        let known = said.as_mut().filter(|said| {
            said.again < MOST
                && said.questions == questions
                && self.alike(&said.rows.visual, &rows.visual, seen)
                && self.alike(&said.rows.audio, &rows.audio, heard)
        });
        if let Some(known) = known {
            known.again += 1;
            return Word::Given(known.answers.clone());
        }
        let answers = Answers::default();
        let (rows, questions) = (rows.clone(), questions.to_vec());
        *said = Some(Said { rows, questions, answers: answers.clone(), again: 0 });
        Word::Wanted(answers)
    }

    /// Forgets a window that could not be answered.
    pub(super) fn forget(&self, answers: &Answers) {
        let mut said = self.lock();
        if said.as_ref().is_some_and(|said| Arc::ptr_eq(&said.answers, answers)) {
            *said = None;
        }
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

    /// What is said about the next window, if it is asked the usual question.
    fn next(last: &LastWindow, rows: &Rows) -> Option<String> {
        match last.next(rows, &asked("What?"), [1, 0]) {
            Word::Wanted(_) => None,
            Word::Given(answers) => Some(answers.get().expect("it is answered")[0].text.clone()),
        }
    }

    /// Of a stream whose last window shows a dog.
    fn known(tolerance: f32) -> LastWindow {
        let last = LastWindow::new(tolerance);
        let Word::Wanted(answers) = last.next(&rows([0.5, 7.0], Some([0.1, 8.0])), &asked("What?"), [1, 0])
        else {
            panic!("nothing is known")
        };
        let said = Answer { text: "a dog".to_owned(), tokens: Vec::new(), finish: Finish::Stop };
        answers.set(vec![said]).expect("nobody has answered");
        last
    }

    fn again(rows: &Rows) -> bool {
        next(&known(0.05), rows).is_some_and(|said| said == "a dog")
    }

    #[test]
    fn what_is_as_before_is_answered_as_before() {
        assert!(again(&rows([0.54, 7.0], Some([0.06, 8.0]))));
        assert!(!again(&rows([0.56, 7.0], Some([0.1, 8.0]))), "more sure");
        assert!(!again(&rows([0.5, 7.0], Some([0.16, 8.0]))), "in one slot");
        assert!(!again(&rows([0.5, 7.01], Some([0.1, 8.0]))), "a column without a scale");
        assert!(!again(&rows([0.5, 7.0], None)), "a picture is missing");
        let other = known(0.05).next(&rows([0.5, 7.0], Some([0.1, 8.0])), &asked("Who?"), [1, 0]);
        assert!(matches!(other, Word::Wanted(_)));
    }

    #[test]
    fn without_a_tolerance_windows_have_to_be_equal() {
        assert!(next(&known(0.0), &rows([0.5, 7.0], Some([0.1, 8.0]))).is_some());
        assert!(next(&known(0.0), &rows([0.5, 7.0], Some([0.1001, 8.0]))).is_none());
    }

    #[test]
    fn slow_changes_are_compared_with_what_was_read_and_one_answer_is_not_for_ever() {
        let last = known(0.05);
        let at = |sure: f32| next(&last, &rows([sure, 7.0], Some([0.1, 8.0]))).is_some();
        assert_eq!([0.52, 0.54].map(at), [true, true]);
        assert_eq!((0..40).take_while(|_| at(0.5)).count(), MOST - 2);
        let last = known(0.05);
        let at = |sure: f32| next(&last, &rows([sure, 7.0], Some([0.1, 8.0]))).is_some();
        assert_eq!([0.54, 0.56].map(at), [true, false]);
    }

    #[test]
    fn a_window_that_could_not_be_answered_answers_no_other() {
        let last = LastWindow::new(0.05);
        let window = rows([0.5, 7.0], None);
        let Word::Wanted(failed) = last.next(&window, &asked("What?"), [1, 0]) else {
            panic!("nothing is known")
        };
        assert!(matches!(last.next(&window, &asked("What?"), [1, 0]), Word::Given(_)), "in one batch");
        last.forget(&failed);
        assert!(matches!(last.next(&window, &asked("What?"), [1, 0]), Word::Wanted(_)));
        last.forget(&failed);
        assert!(matches!(last.next(&window, &asked("What?"), [1, 0]), Word::Given(_)), "that was another");
    }
}

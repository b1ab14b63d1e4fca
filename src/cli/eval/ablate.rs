//! The same corpus, watched otherwise.

use avicuna_evaluation::ablation::{RATES, Variant};
use avicuna_evaluation::events::{Merging, thinned};
use avicuna_evaluation::predictions::Predictions;
use avicuna_evaluation::report::plot::{self, PAPER_RATES, Series};
use avicuna_evaluation::report::table::{Table, figure};
use avicuna_evaluation::report::{GroundingReport, Report};
use avicuna_evaluation::truth::Corpus;
use avicuna_evaluation::watch::{Settings, Watched};
use avicuna_models::manifest::Manifest;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::corpus::{Data, MergingArguments, Seen, watch};
use super::{beside, shown, write, write_json};

#[derive(Debug, Args)]
pub struct Arguments {
    /// What is changed.
    what: What,
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    merging: MergingArguments,
    /// With `interleave-rate`: the rates in percent.
    #[arg(long, value_delimiter = ',', default_values_t = RATES)]
    rates: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The share of audio among the audio-visual tokens, beside the paper's curve.
    InterleaveRate,
    /// With both modalities, without audio, without video.
    Modality,
    /// The reference's rule, evenly spread, with time stamps.
    Interleaver,
    /// Windows of the trained length and of twice that.
    Window,
    /// How windows become events: the hop, the gap and the least score.
    Merging,
}

/// One line of an ablation.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    report: Report,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let corpus = arguments.data.corpus()?;
    let rows = match arguments.what {
        What::Merging => merging(arguments, &corpus)?,
        _ => variants(arguments, &corpus)?,
    };
    let table = table(arguments.what, &rows);
    let out = &arguments.data.out;
    write_json(Some(out), &rows)?;
    write(&beside(out, "md"), &table.markdown())?;
    if arguments.what == What::InterleaveRate {
        write(&beside(out, "rates.svg"), &rates(&arguments.rates, &rows)?)?;
    }
    println!("{}\n{}", shown(&table), rows.first().map(|row| row.report.summary()).unwrap_or_default());
    Ok(())
}

fn variants(arguments: &Arguments, corpus: &Corpus) -> anyhow::Result<Vec<Row>> {
    let Data { model, out, device, .. } = &arguments.data;
    let manifest = Manifest::load(model)?;
    let variants = match arguments.what {
        What::InterleaveRate => Variant::rates(&manifest, &arguments.rates),
        What::Modality => Variant::modalities(),
        What::Interleaver => Variant::interleavers(),
        What::Window | What::Merging => Variant::windows(&manifest),
    };
    let mut rows = Vec::new();
    for (index, variant) in variants.iter().enumerate() {
        eprintln!("{} of {}: {}", index + 1, variants.len(), variant.name);
        let dir = variant.model(model, &beside(out, "models"))?;
        let cache = beside(out, &format!("{index}.windows.jsonl"));
        let seen = watch(corpus, &dir, device, &cache, |manifest| variant.settings(manifest))?;
        let merging = arguments.merging.merging(&seen.prompt);
        let report = seen.report(corpus, &seen.predictions(corpus, merging), merging)?;
        rows.push(Row { name: variant.name.clone(), report });
    }
    Ok(rows)
}

/// One run with a quarter of a window as the hop; larger hops see every second and every fourth of its windows.
fn merging(arguments: &Arguments, corpus: &Corpus) -> anyhow::Result<Vec<Row>> {
    let Data { model, out, device, .. } = &arguments.data;
    let quarter = |manifest: &Manifest| {
        let own = Settings::of(manifest);
        Ok(Settings { hop: own.window / 4.0, ..own })
    };
    let Seen { model, prompt, settings, watched } =
        watch(corpus, model, device, &beside(out, "windows.jsonl"), quarter)?;
    let mut rows = Vec::new();
    for hops in [1.0, 2.0, 4.0] {
        let settings = Settings { hop: settings.hop * hops, ..settings };
        let thin: Vec<Watched> = watched.iter().map(|watched| thinned(watched, settings.hop)).collect();
        for merge_gap in [0.5, 1.0, 2.0, 3.0] {
            for min_score in [0.0, 0.2, 0.4, 0.6, 0.8] {
                let merging = Merging {
                    merge_gap,
                    min_score,
                    min_query_score: min_score,
                    ..arguments.merging.merging(&prompt)
                };
                let predictions = Predictions::new(corpus, &thin, settings, merging);
                let report = Report::new(corpus, &predictions)?.of_model(&model, settings, merging, &thin);
                let name = format!("hop {} s, gap {merge_gap} s, score {min_score}", settings.hop);
                rows.push(Row { name, report });
            }
        }
    }
    Ok(rows)
}

fn table(what: What, rows: &[Row]) -> Table {
    let title = match what {
        What::InterleaveRate => "Share of audio tokens",
        What::Modality => "Modalities",
        What::Interleaver => "Interleaving rules",
        What::Window => "Windows",
        What::Merging => "From windows to events",
    };
    let header = [
        "",
        "union mIoU",
        "F1@.3",
        "F1@.5",
        "F1@.7",
        "count F1",
        "only heard F1@.5",
        "only seen F1@.5",
        "absent",
        "mAP",
    ];
    let mut table = Table::new(title, &header);
    for Row { name, report } in rows {
        let GroundingReport { all, by_modality, absence_accuracy, .. } = &report.grounding;
        let senses = |wanted| by_modality.get(&wanted).map(|part| part.f1.middle);
        use avicuna_evaluation::truth::QueryModality;
        let figures = [
            Some(all.union_miou),
            Some(all.f1.low),
            Some(all.f1.middle),
            Some(all.f1.high),
            Some(all.count_f1),
            senses(QueryModality::Audio),
            senses(QueryModality::Visual),
            *absence_accuracy,
            report.detection.as_ref().map(|detection| detection.average),
        ];
        table.rows.push(std::iter::once(name.clone()).chain(figures.map(figure)).collect());
    }
    table
}

/// Ours beside the paper's.
fn rates(rates: &[u32], rows: &[Row]) -> anyhow::Result<String> {
    let over = |figure: &dyn Fn(&Report) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = rates.iter().zip(rows);
        points.filter_map(|(rate, row)| Some((f64::from(*rate), figure(&row.report)?))).collect()
    };
    let paper = PAPER_RATES.map(|(rate, percent)| (rate, percent / 100.0)).to_vec();
    let series = [
        Series::new("average mAP", over(&|report| Some(report.detection.as_ref()?.average))),
        Series::new("grounding, union mIoU", over(&|report| Some(report.grounding.all.union_miou))),
        Series::new("the paper: average mAP on UnAV-100", paper),
    ];
    Ok(plot::lines("Share of audio among the tokens", "interleaving rate, %", "0 to 1", &series)?)
}

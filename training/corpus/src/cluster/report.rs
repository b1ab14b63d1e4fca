//! The quality of clusters, for people: `clusters.txt` and `clusters.svg`.

use std::fmt::Write;
use std::path::Path;

use plotters::prelude::*;

use super::quality::{Quality, nearest};
use super::{ClusterError, Embeddings, Events, Method};
use avicuna_models::whole;

/// Clusters whose captions are shown: the tightest, the loosest and some in between.
const SHOWN: usize = 7;

/// Captions that are shown of a cluster, and neighbours of a caption.
const CAPTIONS: usize = 6;

/// One way to cluster and how good it was; the first of a list is the one that is used.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// The way.
    pub method: Method,
    /// How good.
    pub quality: &'a Quality,
}

/// The report in words: a table of the methods, captions of some clusters, and some captions with their nearest ones.
pub fn text(
    events: &Events<'_>,
    embeddings: &Embeddings,
    clusters: &[Vec<u32>],
    compared: &[Compared<'_>],
) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _written = write_all(&mut text, events, embeddings, clusters, compared);
    text
}

fn write_all(
    text: &mut String,
    events: &Events<'_>,
    embeddings: &Embeddings,
    clusters: &[Vec<u32>],
    compared: &[Compared<'_>],
) -> std::fmt::Result {
    writeln!(
        text,
        "Similarities are cosines of embeddings. `at home`: nearer to the mean of its own cluster than of any other.\n"
    )?;
    writeln!(text, "method    clusters  sizes     within   between  at home")?;
    for Compared { method, quality } in compared {
        let size = |size: Option<&usize>| size.copied().unwrap_or_default();
        let sizes = format!("{}..{}", size(quality.sizes.keys().next()), size(quality.sizes.keys().last()));
        let name = format!("{method:?}").to_lowercase();
        writeln!(
            text,
            "{name:9} {:8}  {sizes:8}  {:.4}   {:.4}   {:.1}%",
            quality.clusters,
            quality.within,
            quality.between,
            100.0 * quality.at_home
        )?;
    }
    let Some(first) = compared.first() else { return Ok(()) };
    let mut order: Vec<usize> = (0..clusters.len()).filter(|at| clusters[*at].len() > 1).collect();
    let cohesion: Vec<f64> = first.quality.cohesion.clone();
    // Cohesion has an entry for each cluster of two or more, in the order of the clusters.
    let mut ranked: Vec<(f64, usize)> = cohesion.into_iter().zip(order.drain(..)).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    writeln!(text, "\nClusters from the tightest to the loosest:")?;
    for (cohesion, cluster) in evenly(&ranked, SHOWN) {
        let rows = &clusters[*cluster];
        writeln!(text, "\ncluster {cluster}, {} events, within {cohesion:.4}", rows.len())?;
        for row in rows.iter().take(CAPTIONS) {
            writeln!(text, "  {}", events.texts[*row as usize])?;
        }
        if rows.len() > CAPTIONS {
            writeln!(text, "  and {} more", rows.len() - CAPTIONS)?;
        }
    }
    writeln!(text, "\nNearest:")?;
    let rows: Vec<u32> = (0..embeddings.len() as u32).collect();
    for row in evenly(&rows, SHOWN) {
        writeln!(text, "\n{}", events.texts[*row as usize])?;
        for (similarity, other) in nearest(embeddings, *row, CAPTIONS / 2) {
            writeln!(text, "  {similarity:.4}  {}", events.texts[other as usize])?;
        }
    }
    Ok(())
}

/// At most `count` items, the first and the last among them.
fn evenly<T>(items: &[T], count: usize) -> impl Iterator<Item = &T> {
    let shown = count.min(items.len());
    let last = items.len().saturating_sub(1);
    (0..shown).map(move |at| &items[at * last / (shown - 1).max(1)])
}

/// Bars of the similarity histogram.
const BARS: usize = 40;

/// The report as a picture (SVG): how alike the members of a cluster are, for each method, and how large the clusters are.
pub fn plot(path: &Path, compared: &[Compared<'_>]) -> Result<(), ClusterError> {
    let drawn = draw(path, compared);
    drawn.map_err(|e| ClusterError::Plot { path: path.to_owned(), reason: e.to_string() })
}

fn draw(path: &Path, compared: &[Compared<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (1000, 420)).into_drawing_area();
        root.fill(&WHITE)?;
        let (left, right) = root.split_horizontally(600);
        draw_similarities(&left, compared)?;
        if let Some(first) = compared.first() {
            draw_sizes(&right, first.quality)?;
        }
        root.present()?;
    }
    Ok(whole::write(path, svg)?)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_similarities(area: &Area<'_>, compared: &[Compared<'_>]) -> Result<(), Box<dyn std::error::Error>> {
    let all = || compared.iter().flat_map(|one| &one.quality.cohesion).copied();
    let least = all().fold(1.0, f64::min).min(0.0);
    let width = (1.0 - least) / BARS as f64;
    let shares: Vec<Vec<(f64, f64)>> = compared
        .iter()
        .map(|one| {
            let mut counts = [0usize; BARS];
            for value in &one.quality.cohesion {
                counts[(((value - least) / width) as usize).min(BARS - 1)] += 1;
            }
            let clusters = one.quality.cohesion.len().max(1) as f64;
            let share = |(bar, count): (usize, &usize)| {
                (least + (bar as f64 + 0.5) * width, *count as f64 / clusters)
            };
            counts.iter().enumerate().map(share).collect()
        })
        .collect();
    let top = shares.iter().flatten().map(|(_, share)| *share).fold(0.01, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption("Mean similarity within a cluster", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(least..1.0, 0.0..1.05 * top)?;
    chart.configure_mesh().x_desc("cosine").y_desc("share of clusters").draw()?;
    for (index, (one, points)) in compared.iter().zip(shares).enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(format!("{:?}", one.method).to_lowercase())
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
    Ok(())
}

fn draw_sizes(area: &Area<'_>, quality: &Quality) -> Result<(), Box<dyn std::error::Error>> {
    let (Some((least, _)), Some((most, _))) =
        (quality.sizes.first_key_value(), quality.sizes.last_key_value())
    else {
        return Ok(());
    };
    let top = quality.sizes.values().max().copied().unwrap_or(1);
    let mut chart = ChartBuilder::on(area)
        .caption("Events of a cluster", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(*least as f64 - 1.0..*most as f64 + 1.0, 0.0..1.05 * top as f64)?;
    chart.configure_mesh().x_desc("events").y_desc("clusters").draw()?;
    let bar = |(size, count): (&usize, &usize)| {
        let (size, count) = (*size as f64, *count as f64);
        Rectangle::new([(size - 0.4, 0.0), (size + 0.4, count)], Palette99::pick(0).filled())
    };
    chart.draw_series(quality.sizes.iter().map(bar))?;
    Ok(())
}

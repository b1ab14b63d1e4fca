//! Plots as SVG.

use plotters::prelude::*;

use super::Report;
use crate::EvaluationError;

/// A line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// In order of x.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// With this name.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points }
    }
}

/// Average mAP on UnAV-100 in percent at interleaving rates in percent, as the paper has it; its protocol is not published.
pub const PAPER_RATES: [(f64, f64); 12] = [
    (0.0, 35.8),
    (10.0, 58.5),
    (20.0, 59.9),
    (25.0, 60.3),
    (30.0, 60.0),
    (40.0, 58.3),
    (50.0, 39.6),
    (60.0, 44.3),
    (70.0, 44.2),
    (80.0, 44.2),
    (90.0, 46.0),
    (100.0, 48.4),
];

const SIZE: (u32, u32) = (760, 460);
/// Told apart by people who see colours differently too.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// Lines with points over `x`, from 0 to 1 on the other axis.
///
/// # Errors
/// When it cannot be drawn.
pub fn lines(title: &str, x: &str, y: &str, series: &[Series]) -> Result<String, EvaluationError> {
    let mut svg = String::new();
    draw(&mut svg, title, x, y, series)
        .map_err(|error| EvaluationError::Tool { tool: "the plot", reason: error.to_string() })?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    title: &str,
    x: &str,
    y: &str,
    series: &[Series],
) -> Result<(), Box<dyn std::error::Error>> {
    let all = || series.iter().flat_map(|series| &series.points).map(|(at, _)| *at);
    let (from, to) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let (from, to) = if from < to { (from, to) } else { (0.0, 1.0) };
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(from..to, 0.0..1.0)?;
    chart.configure_mesh().x_desc(x).y_desc(y).light_line_style(WHITE).draw()?;
    for (index, line) in series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let drawn =
            chart.draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)))?;
        drawn
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(line.points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3)).draw()?;
    area.present()?;
    Ok(())
}

impl Report {
    /// Its plots, with names for their files.
    ///
    /// # Errors
    /// When one cannot be drawn.
    pub fn plots(&self) -> Result<Vec<(&'static str, String)>, EvaluationError> {
        let rows = self.grounding.rows();
        let f1 = rows.iter().map(|(name, part)| {
            let f1 = part.f1;
            Series::new(
                format!("{name} ({})", part.queries),
                vec![(0.3, f1.low), (0.5, f1.middle), (0.7, f1.high)],
            )
        });
        let f1 = lines("When does it happen?", "tIoU", "F1", &f1.collect::<Vec<_>>())?;
        let mut plots = vec![("grounding", f1)];
        if let Some(detection) = &self.detection {
            let over =
                |figures: &[f64]| detection.thresholds.iter().copied().zip(figures.iter().copied()).collect();
            let series = [
                Series::new(format!("mAP, average {:.3}", detection.average), over(&detection.map)),
                Series::new("recall", over(&detection.recall)),
            ];
            plots.push(("detection", lines("What happens?", "tIoU", "mean over the classes", &series)?));
        }
        Ok(plots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_its_lines_and_draws_their_points() {
        let series = [Series::new("ours", vec![(0.0, 0.2), (1.0, 0.8)]), Series::new("theirs", vec![])];
        let svg = lines("A title", "rate", "mAP", &series).expect("it is drawn");
        for part in ["<svg", "A title", "ours", "theirs", "rate", "<circle"] {
            assert!(svg.contains(part), "no {part} in {svg}");
        }
        lines("", "", "", &[]).expect("nothing is drawn too");
    }
}

//! The dataset card.

use std::fmt::Write;

use super::settings::Settings;
use super::statistics::Statistics;

/// `CARD.md`: what the corpus is, how it was made, and what it holds.
pub(super) fn write(settings: &Settings, statistics: &Statistics) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _written = write_all(&mut text, settings, statistics);
    text
}

fn write_all(text: &mut String, settings: &Settings, statistics: &Statistics) -> std::fmt::Result {
    let split = format!("{:?}", settings.split).to_lowercase();
    writeln!(text, "# Pseudo-untrimmed videos: {}, {split}\n", settings.preset)?;
    writeln!(
        text,
        "{} videos, put together from trimmed clips: {} clips of one cluster in a random order, each lasting {} whole seconds.",
        statistics.videos, settings.clips_per_group, settings.scaling.lengths
    )?;
    writeln!(
        text,
        "What happens in a video, and when, is known to the second because the video was made that way. Nothing was labelled by hand, and nothing here is untrimmed footage.\n"
    )?;
    writeln!(text, "## How it was made\n")?;
    let scaling = &settings.scaling;
    writeln!(text, "- seed {}, {} variants of each group", settings.seed, settings.variants)?;
    match scaling.gaps {
        Some(gaps) => {
            writeln!(
                text,
                "- background of {} s between neighbours, probability {}",
                gaps.seconds, gaps.probability
            )?;
        }
        None => writeln!(text, "- no background between events")?,
    }
    match scaling.overlaps {
        Some(overlaps) => writeln!(
            text,
            "- neighbours overlap by {} s, probability {}",
            overlaps.seconds, overlaps.probability
        )?,
        None => writeln!(text, "- events do not overlap")?,
    }
    writeln!(text, "- an event comes back in the same video with probability {}", scaling.repeats)?;
    if scaling.reorder {
        writeln!(
            text,
            "- every second variant has the events and lengths of the one before, in another order"
        )?;
    }
    let style = format!("{:?}", settings.style).to_lowercase();
    writeln!(text, "- {} dialogues a video, templates `{style}`", settings.dialogues)?;
    writeln!(
        text,
        "\nThe same command with the same seed gives the same bytes, in one piece or in shards.\n"
    )?;
    if !settings.facts.is_empty() {
        writeln!(text, "## Sources\n")?;
        settings.facts.iter().try_for_each(|fact| writeln!(text, "- {fact}"))?;
        writeln!(text)?;
    }
    writeln!(text, "## What it holds\n\n{statistics}")
}

//! ELAN's annotation format, EAF 3.0: a tier for what is seen and one for what is heard. Annotations of one tier may not
//! overlap, so that what does has tiers of its own, `seen 2` and so on.

use super::lanes::{Lane, rows};
use super::markup::escaped;
use super::{Media, Report, milliseconds};
use crate::timeline::UtcTime;

/// The linguistic type of all tiers.
const TYPE: &str = "event";

/// An annotation document of `media`, made at `made`; without a file, the annotator is asked for one.
pub fn eaf(report: &Report, media: Option<&Media>, made: UtcTime) -> String {
    let mut document = Document::default();
    for lane in Lane::ALL {
        let mut rows = rows(&report.events, lane);
        // Both tiers are there, so that annotators find them.
        rows.resize_with(rows.len().max(1), Vec::new);
        for (number, row) in (1..).zip(rows) {
            let name = if number == 1 { lane.name().to_owned() } else { format!("{} {number}", lane.name()) };
            document.tier(report, &name, &row);
        }
    }
    document.written(media, made)
}

#[derive(Debug, Default)]
struct Document {
    /// `TIME_SLOT`s, in order.
    slots: Vec<u64>,
    annotations: usize,
    tiers: String,
}

impl Document {
    fn tier(&mut self, report: &Report, name: &str, row: &[usize]) {
        self.tiers.push_str(&format!("    <TIER LINGUISTIC_TYPE_REF=\"{TYPE}\" TIER_ID=\"{name}\">\n"));
        for event in row.iter().map(|&index| &report.events[index]) {
            let start = milliseconds(event.start.stream);
            let [from, to] = [start, milliseconds(event.end.stream).max(start + 1)].map(|at| self.slot(at));
            self.annotations += 1;
            let (number, label) = (self.annotations, escaped(&event.label));
            self.tiers.push_str(&format!(
                "        <ANNOTATION>\n            \
                 <ALIGNABLE_ANNOTATION ANNOTATION_ID=\"a{number}\" TIME_SLOT_REF1=\"{from}\" TIME_SLOT_REF2=\"{to}\">\n                \
                 <ANNOTATION_VALUE>{label}</ANNOTATION_VALUE>\n            \
                 </ALIGNABLE_ANNOTATION>\n        </ANNOTATION>\n"
            ));
        }
        self.tiers.push_str("    </TIER>\n");
    }

    /// Each annotation has slots of its own: one that is moved in the annotator must not move another.
    fn slot(&mut self, at: u64) -> String {
        self.slots.push(at);
        format!("ts{}", self.slots.len())
    }

    fn written(self, media: Option<&Media>, made: UtcTime) -> String {
        let media = media.map_or_else(String::new, |media| {
            let (url, kind) = (escaped(&media.url()), media.kind());
            let name = escaped(&format!("./{}", crate::percent::component(&media.name())));
            format!(
                "        <MEDIA_DESCRIPTOR MEDIA_URL=\"{url}\" MIME_TYPE=\"{kind}\" RELATIVE_MEDIA_URL=\"{name}\"/>\n"
            )
        });
        let mut slots: Vec<(usize, u64)> = (1..).zip(self.slots).collect();
        slots.sort_by_key(|&(_, at)| at);
        let slot =
            |(number, at)| format!("        <TIME_SLOT TIME_SLOT_ID=\"ts{number}\" TIME_VALUE=\"{at}\"/>\n");
        let slots: String = slots.into_iter().map(slot).collect();
        let (made, annotations, tiers) = (made.to_rfc3339(), self.annotations, self.tiers);
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <ANNOTATION_DOCUMENT AUTHOR=\"avicuna\" DATE=\"{made}\" FORMAT=\"3.0\" VERSION=\"3.0\" \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
             xsi:noNamespaceSchemaLocation=\"http://www.mpi.nl/tools/elan/EAFv3.0.xsd\">\n    \
             <HEADER MEDIA_FILE=\"\" TIME_UNITS=\"milliseconds\">\n{media}        \
             <PROPERTY NAME=\"lastUsedAnnotationId\">{annotations}</PROPERTY>\n    </HEADER>\n    \
             <TIME_ORDER>\n{slots}    </TIME_ORDER>\n{tiers}    \
             <LINGUISTIC_TYPE GRAPHIC_REFERENCES=\"false\" LINGUISTIC_TYPE_ID=\"{TYPE}\" TIME_ALIGNABLE=\"true\"/>\n\
             </ANNOTATION_DOCUMENT>\n"
        )
    }
}

//! Metrics and protocols: UnAV-100 mAP, grounding, dense captions, judged answers, ablations, tables and plots.

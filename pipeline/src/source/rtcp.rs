//! Reads RTCP sender reports: what a sender's wall clock showed at an RTP time. Pure.

/// The same instant as the sender's wall clock (UTC nanoseconds) and as RTP time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Nanoseconds since 1970.
    pub utc: i64,
    /// In ticks of the track's clock rate.
    pub rtp: u32,
}

/// NTP counts from 1900.
const NTP_TO_UNIX: i64 = 2_208_988_800;

/// UTC nanoseconds at an RTP time near the report's.
pub fn at_rtp(report: Report, rtp: u32, rate: i64) -> i64 {
    report.utc + between(report.rtp, rtp, rate)
}

/// Nanoseconds from an RTP time to another that is near it; negative where that is earlier.
pub(super) fn between(from: u32, to: u32, rate: i64) -> i64 {
    let ticks = i64::from(to.wrapping_sub(from) as i32);
    (i128::from(ticks) * 1_000_000_000 / i128::from(rate.max(1))) as i64
}

/// Reads an RTCP sender report (RFC 3550, 6.4.1): the sender, and what it says; `None` for any other packet.
pub fn sender_report(packet: &[u8]) -> Option<(u32, Report)> {
    if packet.first()? >> 6 != 2 || *packet.get(1)? != 200 {
        return None;
    }
    let seconds = i64::from(be32(packet, 8)?) - NTP_TO_UNIX;
    let fraction = (u64::from(be32(packet, 12)?) * 1_000_000_000) >> 32;
    let utc = seconds * 1_000_000_000 + fraction as i64;
    Some((be32(packet, 4)?, Report { utc, rtp: be32(packet, 16)? }))
}

pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..at + 4)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_report_is_read() {
        let mut packet = vec![0x80, 200, 0, 6];
        packet.extend(0xDEAD_BEEFu32.to_be_bytes());
        packet.extend((2_208_988_800u32 + 100).to_be_bytes());
        packet.extend(0x8000_0000u32.to_be_bytes());
        packet.extend(90_000u32.to_be_bytes());
        packet.extend([0; 8]);
        let report = Report { utc: 100_500_000_000, rtp: 90_000 };
        assert_eq!(sender_report(&packet), Some((0xDEAD_BEEF, report)));
        assert_eq!(sender_report(&packet[..18]), None, "cut short");
        packet[1] = 201;
        assert_eq!(sender_report(&packet), None, "a receiver report");
    }

    #[test]
    fn rtp_time_wraps() {
        let report = Report { utc: 0, rtp: u32::MAX - 89_999 };
        assert_eq!(at_rtp(report, 0, 90_000), 1_000_000_000);
        assert_eq!(at_rtp(report, u32::MAX - 179_999, 90_000), -1_000_000_000);
    }
}

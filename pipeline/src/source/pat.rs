//! Reads out of the packets of a transport stream which programmes it has (ISO/IEC 13818-1, 2.4.4), and which of them come. Pure.

/// Bytes of a packet; what some recorders put between two is skipped.
const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// Where the table of programmes comes.
const PAT: u16 = 0;
/// Table ids.
const ASSOCIATION: u8 = 0;
const MAP: u8 = 2;

/// A table that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// The numbers of all programmes, in its order. One that does not fit into a packet (more than 42) is not read.
    Association(Vec<u16>),
    /// What the programme of this number is made of follows.
    Map(u16),
}

/// Finds the tables in a stream that comes in pieces of any size.
#[derive(Debug, Default)]
pub struct Tables {
    /// The start of a packet that is not whole yet.
    rest: Vec<u8>,
    /// Programmes, and the packets (PID) in which each one's map comes.
    programs: Vec<(u16, u16)>,
}

impl Tables {
    /// Reads the next piece, whose tables go to `found` in their order.
    pub fn read(&mut self, piece: &[u8], mut found: impl FnMut(Table)) {
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(piece);
        let mut at = 0;
        while let Some(packet) = bytes.get(at..at + PACKET) {
            let Some(sync) = packet.iter().position(|byte| *byte == SYNC) else {
                at += PACKET;
                continue;
            };
            if sync > 0 {
                at += sync;
                continue;
            }
            if let Some(table) = self.table(packet) {
                found(table);
                at += PACKET;
                continue;
            }
            // A byte that looks like the start of a packet is believed to be one where another packet follows.
            at += match bytes.get(at + PACKET) {
                Some(&SYNC) => PACKET,
                Some(_) => 1,
                None => break,
            };
        }
        bytes.drain(..at.min(bytes.len()));
        self.rest = bytes;
    }

    fn table(&mut self, packet: &[u8]) -> Option<Table> {
        let head = u16::from_be_bytes([packet[1], packet[2]]);
        let (is_damaged, begins, pid) = (head & 0x8000 != 0, head & 0x4000 != 0, head & 0x1FFF);
        let is_map = self.programs.iter().any(|(_, map)| *map == pid);
        if is_damaged || !begins || !(pid == PAT || is_map) {
            return None;
        }
        let section = section(packet)?;
        if pid == PAT {
            self.programs = association(section)?;
            return Some(Table::Association(self.programs.iter().map(|(number, _)| *number).collect()));
        }
        let number = be16(section, 3).filter(|_| section[0] == MAP)?;
        self.programs.contains(&(number, pid)).then_some(Table::Map(number))
    }
}

/// The section that begins in a packet, with what follows it.
fn section(packet: &[u8]) -> Option<&[u8]> {
    let (adapts, carries) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
    let payload = if adapts { 5 + usize::from(packet[4]) } else { 4 };
    let pointer = packet.get(payload).filter(|_| carries)?;
    packet.get(payload + 1 + usize::from(*pointer)..).filter(|section| !section.is_empty())
}

/// The programmes of a whole table that is in force, and where their maps are.
fn association(section: &[u8]) -> Option<Vec<(u16, u16)>> {
    let length = usize::from(be16(section, 1)? & 0x0FFF) + 3;
    let section = section.get(..length).filter(|section| section[0] == ASSOCIATION)?;
    let is_in_force = section.get(5)? & 1 == 1;
    let entries = section.get(8..length.checked_sub(4)?)?;
    if !is_in_force || crc(section) != 0 {
        return None;
    }
    let entry = |entry: &[u8]| Some((be16(entry, 0)?, be16(entry, 2)? & 0x1FFF));
    // Number 0 is the network's own table.
    Some(entries.chunks_exact(4).filter_map(entry).filter(|(number, _)| *number != 0).collect())
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..at + 2)?.first_chunk()?))
}

/// CRC-32 as of sections; 0 over one that is right, with its own at its end.
fn crc(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 << 31 == 0 { crc << 1 } else { crc << 1 ^ 0x04C1_1DB7 };
    bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte) << 24, bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet in which a section begins.
    fn packet(pid: u16, section: &[u8]) -> Vec<u8> {
        let mut packet = vec![SYNC, 0x40 | (pid >> 8) as u8, pid as u8, 0x10, 0];
        packet.extend(section);
        packet.extend(crc(section).to_be_bytes());
        packet.resize(PACKET, 0xFF);
        packet
    }

    /// A table of programmes; the map of each is where its number is.
    fn table(programs: &[u16]) -> Vec<u8> {
        let mut section = vec![ASSOCIATION, 0xB0, 9 + 4 * programs.len() as u8, 0, 1, 0xC1, 0, 0];
        for number in programs {
            section.extend(number.to_be_bytes());
            section.extend((0xE000 | number).to_be_bytes());
        }
        packet(PAT, &section)
    }

    /// The map of a programme without streams.
    fn map(number: u16) -> Vec<u8> {
        let [high, low] = number.to_be_bytes();
        packet(number, &[MAP, 0xB0, 13, high, low, 0xC1, 0, 0, 0xFF, 0xFF, 0xF0, 0])
    }

    fn all(pieces: &[&[u8]]) -> Vec<Table> {
        let (mut tables, mut found) = (Tables::default(), Vec::new());
        pieces.iter().for_each(|piece| tables.read(piece, |table| found.push(table)));
        found
    }

    #[test]
    fn tables_are_found_in_pieces_of_any_size_and_behind_anything() {
        let pat = table(&[0, 300, 20]);
        let stream = [vec![SYNC; 100], pat, vec![0; 4], map(20), vec![7; 190], map(300), map(30)].concat();
        let expected = [Table::Association(vec![300, 20]), Table::Map(20), Table::Map(300)];
        assert_eq!(all(&[&stream]), expected);
        for size in [1, 7, 188, 300] {
            assert_eq!(all(&stream.chunks(size).collect::<Vec<_>>()), expected, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_damaged_or_not_in_force_is_no_table() {
        let whole = table(&[1, 2]);
        assert_eq!(all(&[&whole]).len(), 1);
        for at in [1, 5, 6, 7, 10, 13, 20] {
            let mut hurt = whole.clone();
            hurt[at] ^= 0x80;
            assert_eq!(all(&[&hurt]), [], "byte {at}");
        }
        let mut announced = whole[5..whole.len()].to_vec();
        announced.truncate(16);
        announced[5] &= !1;
        assert_eq!(all(&[&packet(PAT, &announced)]), []);
        assert_eq!(all(&[&map(1)]), [], "nothing says that it is one");
    }
}

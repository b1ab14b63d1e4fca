//! NumPy's `.npy` files of f32 or f16 rows. They are written at once: candle's writer makes a system call for each number.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use half::f16;

use super::rows::{Rows, halves, singles};

/// The header is so long in all, or a multiple of it, so that the numbers are aligned.
const ALIGNED: usize = 64;
/// A header of any shape is so long in all.
const WHOLE: usize = 2 * ALIGNED;
/// What comes before the header's text: the magic word, the version, the text's length.
const BEFORE: usize = 10;

/// Writes `[rows, dim]` numbers of 32 bits, or of 16.
pub(super) fn write(out: &mut impl Write, table: &Rows, halves: bool) -> std::io::Result<()> {
    let mut bytes = header([table.len(), table.dim], halves, ALIGNED);
    put(&mut bytes, &table.values, halves);
    out.write_all(&bytes)
}

/// What stands before `[rows, dim]` numbers: a multiple of `aligned` bytes.
fn header([rows, dim]: [usize; 2], halves: bool, aligned: usize) -> Vec<u8> {
    let kind = if halves { "<f2" } else { "<f4" };
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    while !(BEFORE + text.len() + 1).is_multiple_of(aligned) {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // It is shorter than 200 bytes, whatever the shape.
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn put(bytes: &mut Vec<u8>, values: &[f32], halves: bool) {
    for value in values {
        match halves {
            true => bytes.extend(f16::from_f32(*value).to_le_bytes()),
            false => bytes.extend(value.to_le_bytes()),
        }
    }
}

/// A file of more rows than memory holds, written row by row.
#[derive(Debug)]
pub struct RowsFile {
    file: BufWriter<File>,
    dim: usize,
    halves: bool,
    rows: usize,
    bytes: Vec<u8>,
}

impl RowsFile {
    /// Makes the file, or empties it; its numbers have 32 bits, or 16.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, dim: usize, halves: bool) -> std::io::Result<Self> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&header([0, dim], halves, WHOLE))?;
        Ok(Self { file, dim, halves, rows: 0, bytes: Vec::new() })
    }

    /// Adds one row, which has `dim` numbers.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn push(&mut self, row: &[f32]) -> std::io::Result<()> {
        debug_assert_eq!(row.len(), self.dim);
        self.bytes.clear();
        put(&mut self.bytes, row, self.halves);
        self.rows += 1;
        self.file.write_all(&self.bytes)
    }

    /// Says in front how many there are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn close(mut self) -> std::io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header([self.rows, self.dim], self.halves, WHOLE))?;
        self.file.flush()
    }
}

/// Rows `[n, dim]`, or one row `[dim]`.
pub(super) fn parse(bytes: &[u8]) -> Result<Rows, String> {
    let bad = |what: &str| format!("it is no .npy file of f32 or f16 rows: {what}");
    let (version, rest) = match bytes.strip_prefix(b"\x93NUMPY") {
        Some([version, _, rest @ ..]) => (*version, rest),
        _ => return Err(bad("its first bytes are others")),
    };
    let (length, rest) = match (version, rest) {
        (1, [a, b, rest @ ..]) => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        (2 | 3, [a, b, c, d, rest @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(bad("an unknown version")),
    };
    let (header, data) = rest.split_at_checked(length).ok_or_else(|| bad("its header is cut off"))?;
    let header = String::from_utf8_lossy(header);
    let after = |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start());
    if after("'fortran_order':").is_none_or(|rest| !rest.starts_with("False")) {
        return Err(bad("columns before rows"));
    }
    let shape = after("'shape':").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
    let dims = shape.map(|(dims, _)| dims.split(',').map(str::trim).filter(|dim| !dim.is_empty()));
    let dims: Vec<usize> =
        dims.into_iter().flatten().map(str::parse).collect::<Result<_, _>>().map_err(|_| bad("its shape"))?;
    let (rows, dim) = match dims[..] {
        [dim] => (1, dim),
        [rows, dim] => (rows, dim),
        _ => return Err(format!("its shape is {dims:?}; features are [rows, dim]")),
    };
    let kind = after("'descr':").map(|rest| rest.trim_start_matches('\'')).unwrap_or_default();
    let size = if kind.starts_with("<f4") {
        4
    } else if kind.starts_with("<f2") {
        2
    } else {
        return Err(bad("another type of numbers"));
    };
    let count = rows.checked_mul(dim).and_then(|count| count.checked_mul(size));
    if count != Some(data.len()) {
        return Err(bad("its data is cut off or too long"));
    }
    let values = if size == 4 { singles(data) } else { halves(data) };
    Ok(Rows { values, dim })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Tensor};

    use super::*;

    #[test]
    fn others_read_what_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let table = Rows { dim: 2, values: vec![0.0, 0.5, -1.0, 1.0, 0.25, 2.0] };
        for (halves, kind) in [(true, DType::F16), (false, DType::F32)] {
            let path = folder.path().join("x.npy");
            let mut bytes = Vec::new();
            write(&mut bytes, &table, halves).expect("memory takes every byte");
            std::fs::write(&path, &bytes).expect("written");
            let read = Tensor::read_npy(&path).expect("read");
            assert_eq!((read.dims(), read.dtype()), (&[3, 2][..], kind));
            let read = read.to_dtype(DType::F32).and_then(|read| read.flatten_all()?.to_vec1::<f32>());
            assert_eq!(read.expect("numbers"), table.values);
            assert_eq!(parse(&bytes).expect("right"), table);
            assert_eq!((bytes.len() - 6 * if halves { 2 } else { 4 }) % ALIGNED, 0);
        }
    }

    #[test]
    fn a_file_that_grows_is_one_like_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.npy");
        for (halves, rows) in [(false, 0), (true, 1), (false, 1000)] {
            let mut file = RowsFile::create(&path, 3, halves).expect("it is made");
            let values: Vec<f32> = (0..rows * 3).map(|value| value as f32).collect();
            values.chunks(3).for_each(|row| file.push(row).expect("it is written"));
            file.close().expect("it is written");
            let read = parse(&std::fs::read(&path).expect("it is there")).expect("right");
            assert_eq!(read, Rows { dim: 3, values });
        }
        // The longest header there can be.
        assert_eq!(header([usize::MAX, usize::MAX], true, WHOLE).len(), WHOLE);
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn rows_of_both_types_are_read_and_damage_is_named() {
        let data: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }  \n";
        let rows = parse(&file(header, &data)).expect("right");
        assert_eq!((rows.len(), rows.row(1)), (2, [3.0f32, 4.0].as_slice()));
        let data: Vec<u8> = [1f32, -0.5].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }\n";
        assert_eq!(parse(&file(header, &data)).expect("right").values, [1.0, -0.5]);
        assert!(parse(&file(header, &data[1..])).is_err_and(|e| e.contains("cut off")));
        assert!(parse(b"PK").is_err());
        let cubic = header.replace("(2,)", "(1, 1, 2)");
        assert!(parse(&file(&cubic, &data)).is_err_and(|e| e.contains("[1, 1, 2]")));
        let huge = header.replace("(2,)", "(99999999999, 99999999999)");
        assert!(parse(&file(&huge, &data)).is_err());
    }
}

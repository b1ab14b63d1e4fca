//! Writing NumPy's `.npy` files, whole rows at a time: candle's writer makes a system call for each number.

use std::io::Write;

use half::f16;

use super::files::Table;

/// The header is so long in all, or a multiple of it, so that the numbers are aligned.
const ALIGNED: usize = 64;
/// What comes before the header's text: the magic word, the version, the text's length.
const BEFORE: usize = 10;

/// Writes `[rows, dim]` numbers of 32 bits, or of 16.
pub(super) fn write(out: &mut impl Write, table: &Table, halves: bool) -> std::io::Result<()> {
    let kind = if halves { "<f2" } else { "<f4" };
    let shape = format!("({}, {})", table.rows, table.dim);
    let mut text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    while !(BEFORE + text.len() + 1).is_multiple_of(ALIGNED) {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // It is shorter than 200 bytes, whatever the shape.
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.as_bytes());
    for value in &table.data {
        match halves {
            true => bytes.extend(f16::from_f32(*value).to_le_bytes()),
            false => bytes.extend(value.to_le_bytes()),
        }
    }
    out.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Tensor};

    use super::*;

    #[test]
    fn others_read_what_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let table = Table { rows: 3, dim: 2, data: vec![0.0, 0.5, -1.0, 1.0, 0.25, 2.0] };
        for (halves, kind) in [(true, DType::F16), (false, DType::F32)] {
            let path = folder.path().join("x.npy");
            let mut bytes = Vec::new();
            write(&mut bytes, &table, halves).expect("memory takes every byte");
            std::fs::write(&path, &bytes).expect("written");
            let read = Tensor::read_npy(&path).expect("read");
            assert_eq!((read.dims(), read.dtype()), (&[3, 2][..], kind));
            let read = read.to_dtype(DType::F32).and_then(|read| read.flatten_all()?.to_vec1::<f32>());
            assert_eq!(read.expect("numbers"), table.data);
            assert_eq!((bytes.len() - 6 * if halves { 2 } else { 4 }) % ALIGNED, 0);
        }
    }
}

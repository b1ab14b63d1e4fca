//! NumPy's `.npy` files of f32 or f16 rows.

use std::path::Path;

use half::f16;

use super::TrainError;

/// Feature rows in memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Rows {
    /// Row by row.
    pub(super) values: Vec<f32>,
    /// Values of one row.
    pub(super) dim: usize,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    pub(super) fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dim..][..self.dim]
    }
}

/// Reads rows `[n, dim]`, or one row `[dim]`.
pub(super) fn read(path: &Path) -> Result<Rows, TrainError> {
    let bytes = std::fs::read(path).map_err(|e| TrainError::read(path, e))?;
    parse(&bytes).map_err(|reason| TrainError::malformed(path, reason))
}

fn parse(bytes: &[u8]) -> Result<Rows, String> {
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
    let values = match size {
        4 => data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        _ => data.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
    };
    Ok(Rows { values, dim })
}

#[cfg(test)]
mod tests {
    use super::*;

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

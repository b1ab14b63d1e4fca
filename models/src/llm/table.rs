//! The embedding table as its file stores it: a row becomes f32 when it is looked up, with the same bits as if all had.

use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Tensor};

use super::error::LlmError;

/// The rows `[vocab, hidden]` that tokens begin as, on the CPU.
pub(crate) enum Table {
    /// In blocks of small numbers.
    Blocks(QTensor),
    /// In floats of the file's width.
    Floats(Tensor),
}

impl Table {
    /// The rows of `ids`: `[ids, hidden]`, f32.
    pub(crate) fn rows(&self, ids: &[u32]) -> Result<Tensor, LlmError> {
        match self {
            Self::Blocks(blocks) => Ok(blocks.embedding(&Tensor::new(ids, &Device::Cpu)?)?),
            Self::Floats(rows) => {
                Ok(rows.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?.to_dtype(DType::F32)?)
            }
        }
    }

    /// Bytes in memory.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Blocks(blocks) => blocks.storage_size_in_bytes(),
            Self::Floats(rows) => rows.elem_count() * rows.dtype().size_in_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::*;

    #[test]
    fn rows_have_the_bits_of_the_whole_table() -> Result<(), LlmError> {
        let whole = Tensor::randn(0f32, 1.0, (5, 256), &Device::Cpu)?;
        let mut tables = vec![];
        for dtype in [GgmlDType::Q4_1, GgmlDType::Q6K, GgmlDType::Q8_0, GgmlDType::F16, GgmlDType::F32] {
            let blocks = QTensor::quantize(&whole, dtype)?;
            tables.push((blocks.dequantize(&Device::Cpu)?, Table::Blocks(blocks)));
        }
        for dtype in [DType::BF16, DType::F16, DType::F32] {
            let floats = whole.to_dtype(dtype)?;
            tables.push((floats.to_dtype(DType::F32)?, Table::Floats(floats)));
        }
        for (expected, table) in tables {
            let expected = expected.to_vec2::<f32>()?;
            let rows = table.rows(&[4, 0, 4])?.to_vec2::<f32>()?;
            assert_eq!(rows, [4, 0, 4].map(|id: usize| expected[id].clone()), "{} bytes", table.bytes());
            assert!(table.bytes() <= 5 * 256 * 4);
            assert!(table.rows(&[5]).is_err(), "there is no such token");
        }
        Ok(())
    }
}

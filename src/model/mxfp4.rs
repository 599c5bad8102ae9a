//! MXFP4, the format of the experts' weights: 4-bit floats in blocks of 32 that share a power of two.

use tch::{Device, Kind, Tensor};

/// Weights in a block.
pub const BLOCK: i64 = 32;

/// The values of the 4-bit codes: sign, two bits of exponent, one of mantissa.
const VALUES: [f32; 16] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// Turns packed weights into floats. The tables are made once and used for every tensor.
pub struct Unpacker {
    /// `[256, 2]`: the two weights of each byte, low half first.
    pairs: Tensor,
    /// `[256]`: 2^(i - 127).
    powers: Tensor,
}

impl Unpacker {
    pub fn new() -> Self {
        let pairs: Vec<f32> = (0..256usize).flat_map(|byte| [VALUES[byte & 15], VALUES[byte >> 4]]).collect();
        let powers: Vec<f32> = (0..256i32).map(|scale| 2f64.powi(scale - 127) as f32).collect();
        Unpacker { pairs: Tensor::from_slice(&pairs).view([256, 2]), powers: Tensor::from_slice(&powers) }
    }

    /// `[rows, columns]` in f32, on the CPU. `blocks` holds 16 bytes and `scales` one for every 32 columns of a row.
    pub fn unpack(&self, blocks: &[u8], scales: &[u8], rows: i64, columns: i64) -> Tensor {
        let groups = columns / BLOCK;
        assert_eq!(blocks.len() as i64, rows * groups * BLOCK / 2, "the reader has checked the shapes");
        assert_eq!(scales.len() as i64, rows * groups, "the reader has checked the shapes");
        let weights = self.pairs.index_select(0, &index(blocks)).view([rows, groups, BLOCK]);
        let scales = self.powers.index_select(0, &index(scales)).view([rows, groups, 1]);
        (weights * scales).view([rows, columns])
    }
}

fn index(bytes: &[u8]) -> Tensor {
    Tensor::from_data_size(bytes, &[bytes.len() as i64], Kind::Uint8).to_device(Device::Cpu).to_kind(Kind::Int)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_half_first_and_scaled() {
        let mut blocks = vec![0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE];
        blocks.resize(32, 0x21);
        let unpacked = Unpacker::new().unpack(&blocks, &[126, 130], 2, 32);
        let expected = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, -0.0, -0.25, -0.5, -0.75, -1.0, -1.5, -2.0, -3.0];
        let rows = Vec::<Vec<f32>>::try_from(&unpacked).unwrap();
        assert_eq!(rows[0][..16], expected);
        // 0x21 is 0.5 then 1, here times 2^3.
        assert_eq!(rows[1][..4], [4.0, 8.0, 4.0, 8.0]);
    }

    #[test]
    fn every_value_is_exact_in_bfloat16() {
        let blocks: Vec<u8> = (0..=255).collect();
        let scales: Vec<u8> = (0..16).map(|i| 110 + i).collect();
        let floats = Unpacker::new().unpack(&blocks, &scales, 16, 32);
        let back = floats.to_kind(Kind::BFloat16).to_kind(Kind::Float);
        assert!(floats.equal(&back));
    }
}

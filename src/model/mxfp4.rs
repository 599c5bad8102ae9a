//! MXFP4, the format of the experts' weights: 4-bit floats in blocks of 32 that share a power of two.

use tch::{Kind, Tensor};

use crate::model::Place;
use crate::model::kernels::{VALUES, power};

/// Turns packed weights into floats of one number format on one device. Every value is exact in bfloat16.
pub struct Unpacker {
    /// `[256, 2]`: the two weights of each byte, low half first.
    pairs: Tensor,
    /// `[256]`: 2^(i - 127).
    powers: Tensor,
}

impl Unpacker {
    pub fn new(place: Place) -> Self {
        let pairs: Vec<f32> = (0..256usize).flat_map(|byte| [VALUES[byte & 15], VALUES[byte >> 4]]).collect();
        let powers: Vec<f32> = (0..=255).map(power).collect();
        let table = |values: &[f32]| Tensor::from_slice(values).to_kind(place.kind).to_device(place.device);
        Unpacker { pairs: table(&pairs).view([256, 2]), powers: table(&powers) }
    }

    pub fn shallow_clone(&self) -> Self {
        Unpacker { pairs: self.pairs.shallow_clone(), powers: self.powers.shallow_clone() }
    }

    /// `blocks` `[.., groups, 16]` and `scales` `[.., groups]`, bytes both; gives `[.., groups * 32]`.
    pub fn unpack(&self, blocks: &Tensor, scales: &Tensor) -> Tensor {
        let index = |bytes: &Tensor| bytes.flatten(0, -1).to_kind(Kind::Int);
        let weights = self.pairs.index_select(0, &index(blocks)).view([-1, 2 * blocks.size()[blocks.dim() - 1]]);
        let scales_of_rows = self.powers.index_select(0, &index(scales)).unsqueeze(-1);
        let mut shape = scales.size();
        if let Some(last) = shape.last_mut() {
            *last *= weights.size()[1];
        }
        (weights * scales_of_rows).view(&shape[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use tch::Device;

    fn unpacked(blocks: &[u8], scales: &[u8], kind: Kind) -> Tensor {
        let blocks = Tensor::from_slice(blocks).view([-1, 1, 16]);
        let scales = Tensor::from_slice(scales).view([-1, 1]);
        Unpacker::new(Place { device: Device::Cpu, kind }).unpack(&blocks, &scales)
    }

    #[test]
    fn low_half_first_and_scaled() {
        let mut blocks = vec![0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE];
        blocks.resize(32, 0x21);
        let expected = [0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, -0.0, -0.25, -0.5, -0.75, -1.0, -1.5, -2.0, -3.0];
        let rows = Vec::<Vec<f32>>::try_from(&unpacked(&blocks, &[126, 130], Kind::Float)).unwrap();
        assert_eq!((rows.len(), rows[0].len()), (2, 32));
        assert_eq!(rows[0][..16], expected);
        // 0x21 is 0.5 then 1, here times 2^3.
        assert_eq!(rows[1][..4], [4.0, 8.0, 4.0, 8.0]);
    }

    #[test]
    fn every_value_is_exact_in_bfloat16() {
        let blocks: Vec<u8> = (0..=255).collect();
        let scales: Vec<u8> = (0..16).map(|i| 16 * i).collect();
        let [wide, narrow] = [Kind::Float, Kind::BFloat16].map(|kind| unpacked(&blocks, &scales, kind));
        assert!(wide.equal(&narrow.to_kind(Kind::Float)));
    }
}

//! RFC 6455 §5.3: payloads are masked with four repeated bytes.

/// Applies `mask` in place; `offset` is how many payload bytes came before these.
///
/// The body of the loop is a word of eight bytes, which the compiler widens to the vector registers that there are.
pub fn unmask(payload: &mut [u8], mask: [u8; 4], offset: usize) {
    let mut mask = mask;
    mask.rotate_left(offset % 4);
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = payload.chunks_exact_mut(8);
    for chunk in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
    }
    for (byte, mask) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_5_3_every_length_and_offset_equals_the_definition() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for length in 0..40 {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..length as u8).collect();
                let mut masked = plain.clone();
                unmask(&mut masked, mask, offset);
                let expected: Vec<u8> = plain
                    .iter()
                    .enumerate()
                    .map(|(i, byte)| byte ^ mask[(i + offset) % 4])
                    .collect();
                assert_eq!(masked, expected, "length {length}, offset {offset}");
            }
        }
    }
}

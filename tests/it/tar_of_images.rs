//! Small images in a tar archive, as many as are wanted.

use std::io::Write;
use std::path::Path;

/// Pixels along an axis.
const SIZE: usize = 8;
/// Classes: the line of an image that is bright.
pub const CLASSES: usize = 8;

/// Writes so many samples: a PNG of 8 x 8 grey pixels, and the class.
pub fn write(path: &Path, n: usize) {
    let mut tar = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let mut state = 1u64;
    for sample in 0..n {
        let class = sample % CLASSES;
        let mut pixels = Vec::with_capacity(SIZE * (SIZE + 1));
        for line in 0..SIZE {
            // Each line begins with its filter: none.
            pixels.push(0);
            for _ in 0..SIZE {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                let noise = (state >> 33) % 100;
                pixels.push(noise as u8 + if line == class { 150 } else { 0 });
            }
        }
        member(&mut tar, &format!("{sample:07}.png"), &png(&pixels));
        member(&mut tar, &format!("{sample:07}.cls"), class.to_string().as_bytes());
    }
    tar.write_all(&[0; 1_024]).unwrap();
    tar.flush().unwrap();
}

/// A file of an archive (POSIX ustar).
fn member(tar: &mut impl Write, name: &str, bytes: &[u8]) {
    let mut header = [0u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.write_all(&header).unwrap();
    tar.write_all(bytes).unwrap();
    tar.write_all(&[0; 512][..(512 - bytes.len() % 512) % 512]).unwrap();
}

/// A grey PNG whose pixels are stored and not compressed.
fn png(pixels: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = (SIZE as u32).to_be_bytes();
    chunk(&mut bytes, b"IHDR", &[&size[..], &size, &[8, 0, 0, 0, 0]].concat());
    let n = pixels.len() as u16;
    let (mut a, mut b) = (1u32, 0u32);
    for pixel in pixels {
        a = (a + u32::from(*pixel)) % 65_521;
        b = (b + a) % 65_521;
    }
    let stored = [&[0x78, 0x01, 1][..], &n.to_le_bytes(), &(!n).to_le_bytes(), pixels];
    let sum = ((b << 16) | a).to_be_bytes();
    chunk(&mut bytes, b"IDAT", &[stored.concat(), sum.to_vec()].concat());
    chunk(&mut bytes, b"IEND", &[]);
    bytes
}

fn chunk(bytes: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    bytes.extend((data.len() as u32).to_be_bytes());
    let start = bytes.len();
    bytes.extend(name);
    bytes.extend(data);
    let mut sum = u32::MAX;
    for byte in &bytes[start..] {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
        }
    }
    bytes.extend((!sum).to_be_bytes());
}

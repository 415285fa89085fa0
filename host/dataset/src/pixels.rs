//! One image: PNG or JPEG, decoded within bounds. The first bytes decide which: names say less than they
//! seem to.

use std::io::Cursor;
use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::bounds::{IMAGE_FILE_BYTES_MAX, ROW_VALUES_MAX};
use crate::{Element, Error, Values};

/// The memory that a decoder may use beyond the image itself, in bytes.
const DECODER_BYTES_MAX: usize = 64 << 20;
/// The magic bytes of PNG files.
const PNG: &[u8] = b"\x89PNG";
/// The magic bytes of JPEG files.
const JPEG: &[u8] = &[0xff, 0xd8, 0xff];
/// The most entries of the first directory of Exif data that are looked at.
const EXIF_ENTRIES_MAX: usize = 1_024;
/// The entry that says how the camera was held.
const ORIENTATION: u16 = 0x0112;

/// A decoded image: channels, height, width; pixels channel by channel. Those of 8 bits are as
/// they are, those of 16 bits divided by 65,535.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) shape: Vec<u64>,
    pub(crate) pixels: Values,
}

/// Shape and type of an image.
pub(crate) type Kind = (Vec<u64>, Element);

impl Image {
    /// Its shape and type.
    pub(crate) fn kind(&self) -> Kind {
        let element = match self.pixels {
            Values::UInt8(_) => Element::UInt8,
            _ => Element::Float32,
        };
        (self.shape.clone(), element)
    }
}

/// Decodes an image. With `expected`, one of another shape or type is refused before there is memory
/// for its pixels.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::ImageShape`], [`Error::Unsupported`], [`Error::Malformed`].
pub(crate) fn decode(path: &Path, bytes: &[u8], expected: Option<&Kind>) -> Result<Image, Error> {
    if bytes.len() as u64 > IMAGE_FILE_BYTES_MAX {
        let (path, what) = (path.to_owned(), "bytes of an image file".to_owned());
        let got = bytes.len() as u64;
        return Err(Error::TooLarge { path, what, got, max: IMAGE_FILE_BYTES_MAX });
    }
    let check = |shape: &[u64], element: Element| {
        let got = shape.iter().product();
        if got > ROW_VALUES_MAX || got == 0 {
            let (path, what) = (path.to_owned(), "values of an image".to_owned());
            return Err(Error::TooLarge { path, what, got, max: ROW_VALUES_MAX });
        }
        match expected {
            Some((expected, _)) if expected != shape => Err(Error::ImageShape {
                path: path.to_owned(),
                got: shape.to_vec(),
                expected: expected.clone(),
            }),
            Some((_, expected)) if *expected != element => {
                let bits = |element| if element == Element::UInt8 { 8 } else { 16 };
                let (got, expected) = (bits(element), bits(*expected));
                let what = format!(
                    "an image of {got} bits a channel, the first one has {expected}; all images must \
                     have one depth"
                );
                Err(Error::Unsupported { path: path.to_owned(), what })
            }
            _ => Ok(()),
        }
    };
    if bytes.starts_with(PNG) {
        decode_png(path, bytes, check)
    } else if bytes.starts_with(JPEG) {
        decode_jpeg(path, bytes, check)
    } else {
        let reason = "the content is neither PNG nor JPEG".into();
        Err(Error::Malformed { path: path.to_owned(), reason })
    }
}

/// Puts the values of some rows of one kind together.
///
/// # Errors
/// Those of the rows.
pub(crate) fn joined(
    (shape, element): &Kind,
    n_rows: usize,
    rows: impl Iterator<Item = Result<Values, Error>>,
) -> Result<Values, Error> {
    let n = n_rows * shape.iter().product::<u64>() as usize;
    let mut all = match element {
        Element::UInt8 => Values::UInt8(Vec::with_capacity(n)),
        Element::Float32 => Values::Float32(Vec::with_capacity(n)),
        Element::Float64 => Values::Float64(Vec::with_capacity(n)),
    };
    for values in rows {
        match (&mut all, values?) {
            (Values::UInt8(all), Values::UInt8(own)) => all.extend(own),
            (Values::Float32(all), Values::Float32(own)) => all.extend(own),
            (Values::Float64(all), Values::Float64(own)) => all.extend(own),
            // Types were compared before.
            _ => {}
        }
    }
    Ok(all)
}

fn decode_png(
    path: &Path,
    bytes: &[u8],
    check: impl Fn(&[u64], Element) -> Result<(), Error>,
) -> Result<Image, Error> {
    let malformed = |error: png::DecodingError| Error::Malformed {
        path: path.to_owned(),
        reason: error.into(),
    };
    let limits = png::Limits { bytes: DECODER_BYTES_MAX };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    // Palettes become colours, and fewer than 8 bits become 8.
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(malformed)?;
    let (color, depth) = reader.output_color_type();
    let (n_channels, has_alpha) = match color {
        png::ColorType::Grayscale => (1, false),
        png::ColorType::GrayscaleAlpha => (1, true),
        png::ColorType::Rgb => (3, false),
        png::ColorType::Rgba => (3, true),
        png::ColorType::Indexed => return Err(not_offered(path, "a palette")),
    };
    let (bytes_each, element) = match depth {
        png::BitDepth::Sixteen => (2, Element::Float32),
        _ => (1, Element::UInt8),
    };
    let (width, height) = reader.info().size();
    let shape = vec![n_channels, u64::from(height), u64::from(width)];
    check(&shape, element)?;
    let n_all = n_channels as usize + usize::from(has_alpha);
    let n_pixels = (u64::from(height) * u64::from(width)) as usize;
    let mut pixels = vec![0; n_pixels * n_all * bytes_each];
    reader.next_frame(&mut pixels).map_err(malformed)?;
    if has_alpha {
        // Where nothing is transparent the channel says nothing; elsewhere colours depend on what
        // lies behind, which only the author knows.
        let alpha =
            pixels.chunks_exact(n_all * bytes_each).map(|pixel| &pixel[pixel.len() - bytes_each..]);
        if alpha.flatten().any(|byte| *byte != 255) {
            return Err(not_offered(path, "transparent pixels"));
        }
    }
    let pixels = if bytes_each == 2 {
        let (pairs, _) = pixels.as_chunks();
        let value = |pair: &[u8; 2]| (f64::from(u16::from_be_bytes(*pair)) / 65_535.0) as f32;
        Values::Float32(planes(&pairs.iter().map(value).collect::<Vec<_>>(), n_all, n_channels))
    } else {
        Values::UInt8(planes(&pixels, n_all, n_channels))
    };
    Ok(Image { shape, pixels })
}

fn decode_jpeg(
    path: &Path,
    bytes: &[u8],
    check: impl Fn(&[u64], Element) -> Result<(), Error>,
) -> Result<Image, Error> {
    let malformed = |error: zune_jpeg::errors::DecodeErrors| Error::Malformed {
        path: path.to_owned(),
        reason: error.into(),
    };
    let options = DecoderOptions::default().set_strict_mode(true).set_use_unsafe(false);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(malformed)?;
    let (n_channels, out) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => (3, ColorSpace::RGB),
        _ => return Err(not_offered(path, "colours other than grey and RGB")),
    };
    let info = decoder.info();
    let (height, width) = info.map_or((0, 0), |info| (info.height, info.width));
    let turn = decoder.exif().map_or(1, |exif| orientation(exif));
    let shape = |height: u16, width: u16| vec![n_channels, u64::from(height), u64::from(width)];
    // The last four of the eight ways exchange lines and columns.
    let turned = if turn > 4 { shape(width, height) } else { shape(height, width) };
    check(&turned, Element::UInt8)?;
    decoder.set_options(options.jpeg_set_out_colorspace(out));
    let pixels = decoder.decode().map_err(malformed)?;
    let (expected, got) = (turned.iter().product::<u64>(), pixels.len() as u64);
    if expected != got {
        let (path, what) = (path.to_owned(), "the JPEG header".to_owned());
        return Err(Error::WrongLength { path, what, expected, got });
    }
    let pixels = planes(&pixels, n_channels as usize, n_channels);
    let pixels = turned_planes(pixels, (usize::from(height), usize::from(width)), turn);
    Ok(Image { shape: turned, pixels: Values::UInt8(pixels) })
}

/// How the camera was held, from 1 (upright) to 8, by the first directory of Exif data (TIFF 6.0). Data
/// that cannot be read say nothing.
fn orientation(exif: &[u8]) -> u16 {
    let found = || -> Option<u16> {
        let is_little = match exif.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let short = |at: usize| {
            let bytes: [u8; 2] = exif.get(at..at.checked_add(2)?)?.try_into().ok()?;
            Some(if is_little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
        };
        let first: [u8; 4] = exif.get(4..8)?.try_into().ok()?;
        let first = if is_little { u32::from_le_bytes(first) } else { u32::from_be_bytes(first) };
        let first = usize::try_from(first).ok()?;
        let n_entries = usize::from(short(first)?).min(EXIF_ENTRIES_MAX);
        let entries = (0..n_entries).map(|at| first.checked_add(2 + 12 * at));
        // An entry: what it is, type 3 (16 bits), one of them, the value.
        let at = entries.flatten().find(|at| short(*at) == Some(ORIENTATION))?;
        (short(at + 2)? == 3).then(|| short(at + 8))?
    };
    found().filter(|turn| (1..=8).contains(turn)).unwrap_or(1)
}

/// Turns planes of some height and width, so that the image is upright.
fn turned_planes(pixels: Vec<u8>, (height, width): (usize, usize), turn: u16) -> Vec<u8> {
    if turn == 1 {
        return pixels;
    }
    let (lines, columns) = if turn > 4 { (width, height) } else { (height, width) };
    let mut turned = Vec::with_capacity(pixels.len());
    for plane in pixels.chunks_exact(height * width) {
        for y in 0..lines {
            for x in 0..columns {
                let (from_y, from_x) = match turn {
                    2 => (y, width - 1 - x),
                    3 => (height - 1 - y, width - 1 - x),
                    4 => (height - 1 - y, x),
                    5 => (x, y),
                    6 => (height - 1 - x, y),
                    7 => (height - 1 - x, width - 1 - y),
                    _ => (x, width - 1 - y),
                };
                turned.push(plane[from_y * width + from_x]);
            }
        }
    }
    turned
}

fn not_offered(path: &Path, what: &str) -> Error {
    let what = format!("an image with {what}; save it as grey or RGB");
    Error::Unsupported { path: path.to_owned(), what }
}

/// Turns pixels of `n_all` interleaved channels into a plane for each of the first `n_channels`.
fn planes<T: Copy>(pixels: &[T], n_all: usize, n_channels: u64) -> Vec<T> {
    let plane = |channel| pixels.iter().skip(channel).step_by(n_all).copied();
    (0..n_channels as usize).flat_map(plane).collect()
}

//! One slice of a series: a DICOM file (PS3.10) whose pixels are not compressed. Only the elements
//! that a volume needs are read; sequences are skipped, to a bounded depth.

use std::io::Read;
use std::path::Path;

use flate2::read::DeflateDecoder;

use crate::array::Stored;
use crate::bounds::IMAGE_FILE_BYTES_MAX;
use crate::{Error, cut};

/// Where the magic bytes lie.
const PREAMBLE: usize = 128;
/// How deep sequences may lie in each other. Those of real files are 3 or 4 deep.
const DEPTH_MAX: u32 = 32;
/// The length of what ends by a delimiter.
const UNDEFINED: u32 = u32::MAX;
/// The longest text of an element that is read, in bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// (group, element) of a value.
type Tag = (u16, u16);

const TRANSFER_SYNTAX: Tag = (0x0002, 0x0010);
const SLICE_THICKNESS: Tag = (0x0018, 0x0050);
const SERIES: Tag = (0x0020, 0x000e);
const POSITION: Tag = (0x0020, 0x0032);
const ORIENTATION: Tag = (0x0020, 0x0037);
const SAMPLES: Tag = (0x0028, 0x0002);
const PHOTOMETRIC: Tag = (0x0028, 0x0004);
const FRAMES: Tag = (0x0028, 0x0008);
const ROWS: Tag = (0x0028, 0x0010);
const COLUMNS: Tag = (0x0028, 0x0011);
const SPACING: Tag = (0x0028, 0x0030);
const BITS_ALLOCATED: Tag = (0x0028, 0x0100);
const IS_SIGNED: Tag = (0x0028, 0x0103);
const INTERCEPT: Tag = (0x0028, 0x1052);
const SLOPE: Tag = (0x0028, 0x1053);
const PIXELS: Tag = (0x7fe0, 0x0010);
const ITEM: Tag = (0xfffe, 0xe000);
const ITEM_END: Tag = (0xfffe, 0xe00d);
const SEQUENCE_END: Tag = (0xfffe, 0xe0dd);

/// A slice of a volume.
#[derive(Clone, Debug)]
pub(crate) struct Slice {
    /// The id of its series.
    pub(crate) series: String,
    /// Columns and rows.
    pub(crate) lengths: [usize; 2],
    /// Of the first pixel, in millimetres towards the patient's left, back and head.
    pub(crate) position: [f64; 3],
    /// Along which a line of pixels lies, and along which the lines follow.
    pub(crate) directions: [[f64; 3]; 2],
    /// Millimetres from column to column, and from row to row.
    pub(crate) spacing: [f64; 2],
    /// In millimetres, if the file says so.
    pub(crate) thickness: Option<f64>,
    pub(crate) stored: Stored,
    pub(crate) scale: (f64, f64),
    /// Row by row.
    pub(crate) pixels: Vec<u8>,
}

/// The elements of a file, by the way in which they are written.
struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether an element names its type.
    is_explicit: bool,
}

/// The head of an element.
struct Element {
    tag: Tag,
    length: u32,
    /// Whether its items are written without types, as those of an unknown type are.
    is_unknown: bool,
}

/// The values that a volume needs, as they are written.
#[derive(Default)]
struct Values<'a>(std::collections::BTreeMap<Tag, &'a [u8]>);

/// Reads a slice.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`], [`Error::Unsupported`], [`Error::Malformed`].
pub(crate) fn read(path: &Path) -> Result<Slice, Error> {
    let io = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = crate::open(path).map_err(io)?;
    file.take(IMAGE_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
    check_len(path, bytes.len())?;
    let malformed =
        |reason: String| Error::Malformed { path: path.to_owned(), reason: reason.into() };
    if bytes.get(PREAMBLE..PREAMBLE + 4) != Some(b"DICM") {
        return Err(malformed("it is not a DICOM file: `DICM` is not at byte 128".into()));
    }
    let mut meta = Elements { bytes: &bytes, at: PREAMBLE + 4, is_explicit: true };
    let syntax = meta.syntax().map_err(malformed)?;
    let rest = &bytes[meta.at..];
    let inflated;
    let (bytes, is_explicit) = match &syntax[..] {
        "1.2.840.10008.1.2" => (rest, false),
        "1.2.840.10008.1.2.1" => (rest, true),
        "1.2.840.10008.1.2.1.99" => {
            let mut all = Vec::new();
            let stream = DeflateDecoder::new(rest);
            stream.take(IMAGE_FILE_BYTES_MAX + 1).read_to_end(&mut all).map_err(io)?;
            check_len(path, all.len())?;
            inflated = all;
            (&inflated[..], true)
        }
        other => {
            let kind = match other {
                "1.2.840.10008.1.2.2" => "big-endian numbers".to_owned(),
                "1.2.840.10008.1.2.5" => "pixels compressed by RLE".to_owned(),
                _ if other.starts_with("1.2.840.10008.1.2.4.") => {
                    format!("pixels compressed by JPEG or a like of it ({})", cut(other))
                }
                _ => format!("the transfer syntax `{}`", cut(other)),
            };
            let what = format!(
                "{kind}, which are not read; `dcmconv +te` or `gdcmconv --raw` write it \
                 uncompressed, `dcm2niix` as NIfTI"
            );
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
    };
    let values = Elements { bytes, at: 0, is_explicit }.values().map_err(malformed)?;
    values.slice(path)
}

fn check_len(path: &Path, len: usize) -> Result<(), Error> {
    let (got, max) = (len as u64, IMAGE_FILE_BYTES_MAX);
    if got > max {
        let what = "bytes of a slice".to_owned();
        return Err(Error::TooLarge { path: path.to_owned(), what, got, max });
    }
    Ok(())
}

impl<'a> Elements<'a> {
    /// The transfer syntax, from the elements before the data.
    fn syntax(&mut self) -> Result<String, String> {
        let mut syntax = None;
        while self.bytes.get(self.at..self.at + 2) == Some(&[2, 0]) {
            let element = self.head()?;
            let value = self.take(element.length)?;
            if element.tag == TRANSFER_SYNTAX {
                syntax = Some(text(value));
            }
        }
        syntax.ok_or_else(|| "it names no transfer syntax".to_owned())
    }

    /// The values of the elements that are needed, up to the pixels.
    fn values(mut self) -> Result<Values<'a>, String> {
        const NEEDED: [Tag; 15] = [
            SLICE_THICKNESS,
            SERIES,
            POSITION,
            ORIENTATION,
            SAMPLES,
            PHOTOMETRIC,
            FRAMES,
            ROWS,
            COLUMNS,
            SPACING,
            BITS_ALLOCATED,
            IS_SIGNED,
            INTERCEPT,
            SLOPE,
            PIXELS,
        ];
        let mut values = Values::default();
        while self.at < self.bytes.len() {
            let Element { tag, length, is_unknown } = self.head()?;
            if length == UNDEFINED {
                if tag == PIXELS {
                    return Err("its pixels are in fragments, as compressed ones are".into());
                }
                self.skip_sequence(self.is_explicit && !is_unknown, 1)?;
                continue;
            }
            let value = self.take(length)?;
            if NEEDED.contains(&tag) {
                values.0.insert(tag, value);
            }
            if tag == PIXELS {
                break;
            }
        }
        Ok(values)
    }

    fn head(&mut self) -> Result<Element, String> {
        let tag = (self.short()?, self.short()?);
        // Items of sequences never name a type.
        if !self.is_explicit || tag.0 == ITEM.0 {
            return Ok(Element { tag, length: self.long()?, is_unknown: false });
        }
        let kind = [self.byte()?, self.byte()?];
        let is_long = [
            b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT",
            b"UV",
        ]
        .contains(&&kind);
        if !is_long {
            return Ok(Element { tag, length: u32::from(self.short()?), is_unknown: false });
        }
        self.short()?;
        Ok(Element { tag, length: self.long()?, is_unknown: kind == *b"UN" })
    }

    /// Skips the items of a sequence up to its end.
    fn skip_sequence(&mut self, is_explicit: bool, depth: u32) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("sequences lie in each other more than {DEPTH_MAX} times"));
        }
        let outer = std::mem::replace(&mut self.is_explicit, is_explicit);
        loop {
            let item = self.head()?;
            match (item.tag, item.length) {
                (SEQUENCE_END, _) => break,
                (ITEM, UNDEFINED) => loop {
                    let Element { tag, length, is_unknown } = self.head()?;
                    match (tag, length) {
                        (ITEM_END, _) => break,
                        (_, UNDEFINED) => {
                            self.skip_sequence(is_explicit && !is_unknown, depth + 1)?;
                        }
                        (_, length) => _ = self.take(length)?,
                    }
                },
                (ITEM, length) => _ = self.take(length)?,
                (tag, _) => {
                    return Err(format!("({:04x},{:04x}) lies between items", tag.0, tag.1));
                }
            }
        }
        self.is_explicit = outer;
        Ok(())
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8], String> {
        let end = self.at.saturating_add(length as usize);
        let value = self.bytes.get(self.at..end).ok_or_else(|| {
            let left = self.bytes.len() - self.at;
            format!("an element announces {length} bytes, but {left} are left")
        })?;
        self.at = end;
        Ok(value)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn short(&mut self) -> Result<u16, String> {
        let bytes = self.take(2)?;
        Ok(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    fn long(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

impl Values<'_> {
    fn slice(&self, path: &Path) -> Result<Slice, Error> {
        let malformed =
            |reason: String| Error::Malformed { path: path.to_owned(), reason: reason.into() };
        let unsupported =
            |what: &str| Error::Unsupported { path: path.to_owned(), what: what.into() };
        if self.short(SAMPLES).is_some_and(|samples| samples != 1) {
            return Err(unsupported("a slice in colours"));
        }
        if self.text(PHOTOMETRIC).is_some_and(|kind| kind != *"MONOCHROME2") {
            return Err(unsupported("a slice whose values are not MONOCHROME2 (high is bright)"));
        }
        if self.text(FRAMES).is_some_and(|frames| frames != "1") {
            return Err(unsupported("several frames in one file; `dcm2niix` writes it as NIfTI"));
        }
        let needed = |tag: Tag, what: &str| {
            self.short(tag).ok_or_else(|| malformed(format!("it does not say its {what}")))
        };
        let lengths = [needed(COLUMNS, "columns")?, needed(ROWS, "rows")?].map(usize::from);
        let stored = match (needed(BITS_ALLOCATED, "bits")?, self.short(IS_SIGNED).unwrap_or(0)) {
            (8, 0) => Stored::UInt8,
            (8, 1) => Stored::Int8,
            (16, 0) => Stored::UInt16,
            (16, 1) => Stored::Int16,
            (32, 0) => Stored::UInt32,
            (32, 1) => Stored::Int32,
            (bits, _) => return Err(malformed(format!("its pixels have {bits} bits"))),
        };
        let lacks =
            |what: &str| malformed(format!("it does not say its {what}, as slices of volumes do"));
        let position = self.numbers(POSITION).ok_or_else(|| lacks("position"))?;
        let [a, b, c, d, e, f] = self.numbers(ORIENTATION).ok_or_else(|| lacks("orientation"))?;
        let [by_row, by_column] = self.numbers(SPACING).ok_or_else(|| lacks("spacing"))?;
        let scale = |tag: Tag, default: f64| match self.numbers::<1>(tag) {
            Some([value]) => value,
            None => default,
        };
        let pixels = self.0.get(&PIXELS).ok_or_else(|| malformed("it has no pixels".into()))?;
        let expected = (lengths[0] * lengths[1]) as u64 * stored.size();
        // Values have an even number of bytes.
        if expected == 0 || pixels.len() as u64 != expected.next_multiple_of(2) {
            let (path, what) = (path.to_owned(), "the DICOM header".to_owned());
            return Err(Error::WrongLength { path, what, expected, got: pixels.len() as u64 });
        }
        Ok(Slice {
            series: self.text(SERIES).unwrap_or_default(),
            lengths,
            position,
            directions: [[a, b, c], [d, e, f]],
            spacing: [by_column, by_row],
            thickness: self.numbers::<1>(SLICE_THICKNESS).map(|[thickness]| thickness),
            stored,
            scale: (scale(SLOPE, 1.0), scale(INTERCEPT, 0.0)),
            pixels: pixels[..expected as usize].to_vec(),
        })
    }

    fn text(&self, tag: Tag) -> Option<String> {
        self.0.get(&tag).map(|value| text(value))
    }

    fn short(&self, tag: Tag) -> Option<u16> {
        self.0.get(&tag)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    /// The finite numbers of a text such as `1.5\2`, if there are as many.
    fn numbers<const N: usize>(&self, tag: Tag) -> Option<[f64; N]> {
        let text = self.text(tag)?;
        let number = |part: &str| part.trim().parse().ok().filter(|value: &f64| value.is_finite());
        let numbers: Option<Vec<f64>> = text.split('\\').map(number).collect();
        numbers?.try_into().ok()
    }
}

/// The text of a value, without what fills it up.
fn text(value: &[u8]) -> String {
    let value = &value[..value.len().min(TEXT_BYTES_MAX)];
    String::from_utf8_lossy(value).trim_matches(['\0', ' ']).to_owned()
}

//! NIfTI files (`nifti1.h` and `nifti2.h` of the Data Format Working Group), by themselves or in
//! gzip. The length of a volume is held against the bounds before there is memory for it, and
//! memory grows with the bytes that are there.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::volume::{Grid, Volume};
use crate::Error;
use crate::array::{Order, Stored};
use crate::bounds::VOLUME_BYTES_MAX;

/// Bytes of a header of the first version, and of the second.
const HEADERS: [i32; 2] = [348, 540];
/// The magic bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The furthest place in a file where voxels may begin: extensions lie before them.
const OFFSET_MAX: f64 = (64 << 20) as f64;
/// How far a compressed file is read on behind its voxels, in bytes, to come to its checksum.
const TAIL_BYTES: u64 = 64 << 10;
/// How far a quaternion may be from length 1: three times the spacing of float32 at 1.
const QUATERNION_TOLERANCE: f64 = 3.0 * f32::EPSILON as f64;

/// The facts of a header, checked against the bounds.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) grid: Grid,
    stored: Stored,
    order: Order,
    /// Bytes of the header.
    consumed: u64,
    /// Where the voxels begin, behind the header.
    offset: u64,
    /// Volumes, one after the other.
    n_frames: u64,
    scale: (f64, f64),
}

/// A file that may be compressed.
enum Source {
    Plain(File),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

/// The bytes of a header.
struct Fields<'a> {
    bytes: &'a [u8],
    order: Order,
    /// Whether the header is of the second version, with wider fields at other places.
    is_second: bool,
}

/// Reads a header.
///
/// # Errors
/// [`Error::Read`], [`Error::Malformed`], [`Error::Unsupported`], [`Error::TooLarge`].
pub(crate) fn header(path: &Path) -> Result<Header, Error> {
    Ok(open(path)?.1)
}

/// Reads a volume: the only one, or number `frame`.
///
/// # Errors
/// As [`header`], and [`Error::WrongLength`].
pub(crate) fn read(path: &Path, frame: Option<u64>) -> Result<Volume, Error> {
    let (source, header) = open(path)?;
    let Header { grid, stored, order, consumed, offset, n_frames, scale } = header;
    let frame = match (frame, n_frames) {
        (None, 1) => 0,
        (Some(frame), _) if frame < n_frames => frame,
        (None, n) => {
            let what = format!("a series of {n} volumes; `frame` of its modality chooses one");
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        (Some(frame), n) => {
            let what = format!("it has {n} volumes, and number {frame} (from 0) is asked for");
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
    };
    // Both factors were checked: it is at most the bound.
    let len = grid.lengths.iter().product::<usize>() as u64 * stored.size();
    let start = offset.saturating_add(frame.saturating_mul(len));
    if frame > 0 && start > VOLUME_BYTES_MAX {
        let (path, what) = (path.to_owned(), "bytes before the chosen volume".to_owned());
        return Err(Error::TooLarge { path, what, got: start, max: VOLUME_BYTES_MAX });
    }
    let read = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    match source {
        Source::Plain(mut file) => {
            file.seek(SeekFrom::Start(start)).map_err(read)?;
            file.take(len).read_to_end(&mut bytes).map_err(read)?;
        }
        Source::Gzip(mut stream) => {
            let mut before = stream.by_ref().take(start - consumed);
            std::io::copy(&mut before, &mut std::io::sink()).map_err(read)?;
            stream.by_ref().take(len).read_to_end(&mut bytes).map_err(read)?;
            // The checksum is at the end; a file with more behind its voxels is not followed.
            std::io::copy(&mut stream.take(TAIL_BYTES), &mut std::io::sink()).map_err(read)?;
        }
    }
    if bytes.len() as u64 != len {
        let (path, what) = (path.to_owned(), "the NIfTI header".to_owned());
        return Err(Error::WrongLength { path, what, expected: len, got: bytes.len() as u64 });
    }
    Ok(Volume { grid, stored, order, bytes, scales: vec![scale] })
}

fn open(path: &Path) -> Result<(Source, Header), Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let malformed =
        |reason: &str| Error::Malformed { path: path.to_owned(), reason: reason.to_owned().into() };
    let mut file = crate::open(path).map_err(read)?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic).map_err(read)?;
    file.rewind().map_err(read)?;
    let mut source = if magic == GZIP {
        Source::Gzip(Box::new(MultiGzDecoder::new(BufReader::new(file))))
    } else {
        Source::Plain(file)
    };
    let mut bytes = [0; HEADERS[1] as usize];
    let short = |error| Error::Malformed {
        path: path.to_owned(),
        reason: format!("the NIfTI header: {error}").into(),
    };
    source.read_exact(&mut bytes[..4]).map_err(short)?;
    let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
    let sizes = [(Order::Little, i32::from_le_bytes(size)), (Order::Big, i32::from_be_bytes(size))];
    let found = sizes.iter().find_map(|(order, size)| {
        HEADERS.iter().position(|known| known == size).map(|version| (*order, version))
    });
    let Some((order, version)) = found else {
        return Err(malformed("the file begins with neither 348 nor 540, as NIfTI files do"));
    };
    let len = HEADERS[version] as usize;
    source.read_exact(&mut bytes[4..len]).map_err(short)?;
    let fields = Fields { bytes: &bytes[..len], order, is_second: version == 1 };
    let header = fields.header(path)?;
    Ok((source, header))
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(into),
            Self::Gzip(stream) => stream.read(into),
        }
    }
}

impl Fields<'_> {
    fn header(&self, path: &Path) -> Result<Header, Error> {
        let unsupported = |what: String| Error::Unsupported { path: path.to_owned(), what };
        let malformed =
            |reason: String| Error::Malformed { path: path.to_owned(), reason: reason.into() };
        let magic = if self.is_second { &self.bytes[4..8] } else { &self.bytes[344..348] };
        match (self.is_second, magic) {
            (false, b"n+1\0") | (true, b"n+2\0") => {}
            (_, b"ni1\0" | b"ni2\0") => {
                let what = "a header whose voxels are in another file (.img); save it as .nii.gz";
                return Err(unsupported(what.into()));
            }
            _ => return Err(malformed("the header has no magic bytes of NIfTI (Analyze?)".into())),
        }
        let (code, bits) = if self.is_second { (12, 14) } else { (70, 72) };
        let (code, bits) = (self.short(code), self.short(bits));
        let stored = stored(code).ok_or_else(|| {
            let kind = match code {
                32 | 1792 | 2048 => "complex numbers",
                128 | 2304 => "colours",
                1536 => "reals of 128 bits",
                1 => "single bits",
                _ => "a type that NIfTI does not know",
            };
            unsupported(format!("voxels of {kind} (datatype {code}); save integers or reals"))
        })?;
        if i64::from(bits) != 8 * stored.size() as i64 {
            let reason = format!("datatype {code} has {} bits, not {bits}", 8 * stored.size());
            return Err(malformed(reason));
        }
        let (lengths, n_frames) = self.lengths(path)?;
        let voxels = lengths.iter().fold(1u64, |product, n| product.saturating_mul(*n));
        let got = voxels.saturating_mul(stored.size());
        if got > VOLUME_BYTES_MAX {
            let (path, what) = (path.to_owned(), "bytes of a volume".to_owned());
            return Err(Error::TooLarge { path, what, got, max: VOLUME_BYTES_MAX });
        }
        let grid =
            Grid { lengths: lengths.map(|n| n as usize), affine: self.affine(lengths, path)? };
        if grid.axes().is_none() {
            return Err(malformed("the axes of its affine do not span space".into()));
        }
        let (slope, intercept) = if self.is_second { (176, 184) } else { (112, 116) };
        let scale = match (self.real(slope), self.real(intercept)) {
            (slope, _) if slope == 0.0 || !slope.is_finite() => (1.0, 0.0),
            (slope, intercept) if intercept.is_finite() => (slope, intercept),
            (_, intercept) => return Err(malformed(format!("its intercept is {intercept}"))),
        };
        let (order, consumed) = (self.order, self.bytes.len() as u64);
        let offset = self.offset(path)?;
        Ok(Header { grid, stored, order, consumed, offset, n_frames, scale })
    }

    /// Lengths of the three axes, and how many such volumes there are.
    fn lengths(&self, path: &Path) -> Result<([u64; 3], u64), Error> {
        let malformed =
            |reason: String| Error::Malformed { path: path.to_owned(), reason: reason.into() };
        let dim = |at: usize| match self.is_second {
            true => i64::from_ne_bytes(self.ordered(16 + 8 * at)),
            false => i64::from(self.short(40 + 2 * at)),
        };
        let n_axes = dim(0);
        if !(1..=7).contains(&n_axes) {
            return Err(malformed(format!("it announces {n_axes} axes, not 1 to 7")));
        }
        let mut lengths = [1u64; 7];
        for (at, length) in lengths.iter_mut().enumerate().take(n_axes as usize) {
            *length = u64::try_from(dim(at + 1)).unwrap_or(0);
            if *length == 0 {
                return Err(malformed(format!("axis {} has length {}", at + 1, dim(at + 1))));
            }
        }
        let [x, y, z, frames, more @ ..] = lengths;
        if more.iter().any(|length| *length != 1) {
            let what =
                format!("an image of {n_axes} axes; volumes have three, or four as a series");
            return Err(Error::Unsupported { path: path.to_owned(), what });
        }
        Ok(([x, y, z], frames))
    }

    /// Where the voxels begin; 0 stands for the first place behind the header.
    fn offset(&self, path: &Path) -> Result<u64, Error> {
        let first = self.bytes.len() as u64 + 4;
        let offset = match self.is_second {
            true => i64::from_ne_bytes(self.ordered(168)) as f64,
            false => self.real(108),
        };
        if offset == 0.0 {
            Ok(first)
        } else if offset.fract() == 0.0 && (first as f64..=OFFSET_MAX).contains(&offset) {
            Ok(offset as u64)
        } else {
            let reason = format!("voxels cannot begin at {offset}, only from {first} on");
            Err(Error::Malformed { path: path.to_owned(), reason: reason.into() })
        }
    }

    /// By the rules of nibabel: the sform, otherwise the qform, otherwise spacings around the middle
    /// with the first axis flipped.
    fn affine(&self, lengths: [u64; 3], path: &Path) -> Result<[[f64; 4]; 3], Error> {
        let malformed =
            |reason: String| Error::Malformed { path: path.to_owned(), reason: reason.into() };
        let (qform, sform) = match self.is_second {
            true => (self.int(344), self.int(348)),
            false => (i32::from(self.short(252)), i32::from(self.short(254))),
        };
        let size = if self.is_second { 8 } else { 4 };
        let reals = |from: usize, at: usize| self.real(from + size * at);
        let spacing = |at: usize| reals(if self.is_second { 80 } else { 76 }, at);
        let affine: [[f64; 4]; 3] = if sform != 0 {
            let lines = if self.is_second { 400 } else { 280 };
            std::array::from_fn(|line| std::array::from_fn(|at| reals(lines, 4 * line + at)))
        } else if qform != 0 {
            let quaternion = if self.is_second { 352 } else { 256 };
            let rotation = rotation([0, 1, 2].map(|at| reals(quaternion, at)))
                .ok_or_else(|| malformed("its quaternion is longer than 1".into()))?;
            if let Some(at) = (1..=3).find(|at| spacing(*at) < 0.0) {
                return Err(malformed(format!("the spacing of axis {at} is {}", spacing(at))));
            }
            let hand = if spacing(0) == -1.0 { -1.0 } else { 1.0 };
            let lengths = [spacing(1), spacing(2), spacing(3) * hand];
            std::array::from_fn(|line| {
                let [x, y, z] = [0, 1, 2].map(|at| rotation[line][at] * lengths[at]);
                [x, y, z, reals(quaternion, 3 + line)]
            })
        } else {
            let steps = [-spacing(1), spacing(2), spacing(3)];
            std::array::from_fn(|line| {
                let mut row = [0.0; 4];
                row[line] = steps[line];
                row[3] = -steps[line] * (lengths[line] as f64 - 1.0) / 2.0;
                row
            })
        };
        if affine.iter().flatten().all(|value| value.is_finite()) {
            Ok(affine)
        } else {
            Err(malformed("its affine has a number that is not finite".into()))
        }
    }

    /// Bytes in the order of this machine.
    fn ordered<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.bytes[at..at + N]);
        if (self.order == Order::Little) != cfg!(target_endian = "little") {
            bytes.reverse();
        }
        bytes
    }

    fn short(&self, at: usize) -> i16 {
        i16::from_ne_bytes(self.ordered(at))
    }

    fn int(&self, at: usize) -> i32 {
        i32::from_ne_bytes(self.ordered(at))
    }

    /// A real: float32 of the first version, float64 of the second.
    fn real(&self, at: usize) -> f64 {
        match self.is_second {
            true => f64::from_ne_bytes(self.ordered(at)),
            false => f64::from(f32::from_ne_bytes(self.ordered(at))),
        }
    }
}

fn stored(code: i16) -> Option<Stored> {
    Some(match code {
        2 => Stored::UInt8,
        4 => Stored::Int16,
        8 => Stored::Int32,
        16 => Stored::Float32,
        64 => Stored::Float64,
        256 => Stored::Int8,
        512 => Stored::UInt16,
        768 => Stored::UInt32,
        1024 => Stored::Int64,
        1280 => Stored::UInt64,
        _ => return None,
    })
}

/// The rotation of a quaternion of length 1, of which b, c and d are known.
fn rotation([x, y, z]: [f64; 3]) -> Option<[[f64; 3]; 3]> {
    let square = 1.0 - (x * x + y * y + z * z);
    if square.is_nan() || square < -QUATERNION_TOLERANCE {
        return None;
    }
    let w = square.max(0.0).sqrt();
    let s = 2.0 / (w * w + x * x + y * y + z * z);
    Some([
        [1.0 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)],
        [s * (x * y + w * z), 1.0 - s * (x * x + z * z), s * (y * z - w * x)],
        [s * (x * z - w * y), s * (y * z + w * x), 1.0 - s * (x * x + y * y)],
    ])
}

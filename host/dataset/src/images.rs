//! Folders of images: one folder inside for each class.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use fedwasm_params::DType;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::array::{ARRAY_VALUES_MAX, ROW_VALUES_MAX};
use crate::dataset::{IMAGE, LABEL};
use crate::values::Values;
use crate::{COLUMNS_MAX, Error, Field};

/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// The most lines or columns of an image.
const SIDE_MAX: usize = 16_384;
/// What a decoder may hold besides an image, in bytes.
const DECODER_BYTES_MAX: usize = 64 << 20;
/// The most images of a folder.
const IMAGES_MAX: u64 = 1 << 24;

/// Images of one size. The classes are the folders in byte order of their
/// names, from 0 on; the rows are their files in byte order.
#[derive(Clone, Debug)]
pub(crate) struct ImageFolder {
    path: PathBuf,
    classes: Vec<(String, Vec<String>)>,
    /// Channels, lines, columns.
    shape: Vec<usize>,
}

impl ImageFolder {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut classes = Vec::new();
        let mut n_images = 0;
        for class in names(path)? {
            let folder = path.join(&class);
            if !folder.is_dir() {
                let reason = "expected a folder for each class, with its images".to_owned();
                return Err(Error::Malformed { path: folder, reason });
            }
            let files = names(&folder)?;
            if let Some(file) = files.iter().find(|name| format(name).is_none()) {
                let reason = "neither .png nor .jpg nor .jpeg".to_owned();
                return Err(Error::Malformed { path: folder.join(file), reason });
            }
            n_images += files.len() as u64;
            classes.push((class, files));
            if classes.len() > COLUMNS_MAX || n_images > IMAGES_MAX {
                let (path, what) = (path.to_owned(), "images");
                return Err(Error::TooLarge { path, what, max: IMAGES_MAX });
            }
        }
        let mut this = Self { path: path.to_owned(), classes, shape: Vec::new() };
        let Some(first) = this.files().into_iter().next() else {
            return Err(Error::NoRows { path: path.to_owned() });
        };
        this.shape = decode(&first)?.shape;
        let n_values = this.shape.iter().product::<usize>() as u64;
        if n_values.saturating_mul(n_images) > ARRAY_VALUES_MAX {
            let (path, what) = (path.to_owned(), "pixels in all images together");
            return Err(Error::TooLarge { path, what, max: ARRAY_VALUES_MAX });
        }
        Ok(this)
    }

    pub(crate) fn fields(&self) -> Vec<Field> {
        vec![
            Field { name: IMAGE.into(), dtype: DType::UInt8, shape: self.shape.clone() },
            Field::scalar(LABEL, DType::Int64),
        ]
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let of_class = |(class, files): &(String, Vec<String>)| {
            let folder = self.path.join(class);
            files.iter().map(|file| folder.join(file)).collect::<Vec<_>>()
        };
        self.classes.iter().flat_map(of_class).collect()
    }

    pub(crate) fn read(&self, at: usize, into: &mut Values) -> Result<(), Error> {
        if at > 0 {
            for (class, (_, files)) in self.classes.iter().enumerate() {
                files.iter().for_each(|_| into.push(class as f64));
            }
            return Ok(());
        }
        for path in self.files() {
            let Image { shape, pixels } = decode(&path)?;
            if shape != self.shape {
                return Err(Error::OtherShape { path, got: shape, expected: self.shape.clone() });
            }
            // Files have the channels of a pixel side by side, plans take one channel after
            // the other.
            let channels = shape.first().copied().unwrap_or(1).max(1);
            for channel in 0..channels {
                for pixel in pixels.chunks_exact(channels) {
                    into.push(f64::from(pixel[channel]));
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Format {
    Png,
    Jpeg,
}

fn format(name: &str) -> Option<Format> {
    match Path::new(name).extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "png" => Some(Format::Png),
        "jpg" | "jpeg" => Some(Format::Jpeg),
        _ => None,
    }
}

/// Names of what is in a folder, in byte order; hidden ones are left out.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let read = |source| Error::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        let Some(name) = name.to_str() else {
            let reason = "its name is not UTF-8".to_owned();
            return Err(Error::Malformed { path: folder.join(name), reason });
        };
        if name.starts_with('.') {
            continue;
        }
        names.push(name.to_owned());
        if names.len() as u64 > IMAGES_MAX {
            let (path, what) = (folder.to_owned(), "files");
            return Err(Error::TooLarge { path, what, max: IMAGES_MAX });
        }
    }
    names.sort_unstable();
    Ok(names)
}

struct Image {
    /// Channels, lines, columns.
    shape: Vec<usize>,
    /// Line by line, the channels of a pixel side by side.
    pixels: Vec<u8>,
}

impl Image {
    /// Checks a size before anything of it is allocated.
    fn shape(
        path: &Path,
        channels: usize,
        height: usize,
        width: usize,
    ) -> Result<Vec<usize>, Error> {
        let fits =
            height <= SIDE_MAX && width <= SIDE_MAX && height * width * channels <= ROW_VALUES_MAX;
        let (path, what) = (path.to_owned(), "pixels in an image");
        match fits {
            true => Ok(vec![channels, height, width]),
            false => Err(Error::TooLarge { path, what, max: ROW_VALUES_MAX as u64 }),
        }
    }
}

fn decode(path: &Path) -> Result<Image, Error> {
    let read = |source| Error::Read { path: path.to_owned(), source };
    let metadata = std::fs::metadata(path).map_err(read)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        let (path, what) = (path.to_owned(), "bytes in a file, or no file");
        return Err(Error::TooLarge { path, what, max: FILE_BYTES_MAX });
    }
    let mut bytes = Vec::new();
    let file = BufReader::new(File::open(path).map_err(read)?);
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(read)?;
    match path.file_name().and_then(|name| format(name.to_str()?)) {
        Some(Format::Jpeg) => jpeg(path, bytes),
        _ => png(path, &bytes),
    }
}

/// Grey or colours at 8 bits; palettes are looked up, 16 bits are cut to their
/// upper 8, transparency is left out.
fn png(path: &Path, bytes: &[u8]) -> Result<Image, Error> {
    let malformed = |error: png::DecodingError| {
        let reason = error.to_string();
        Error::Malformed { path: path.to_owned(), reason }
    };
    let limits = png::Limits { bytes: DECODER_BYTES_MAX };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    let mut reader = decoder.read_info().map_err(malformed)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let (colours, _) = reader.output_color_type();
    let stored = colours.samples();
    let channels = if stored < 3 { 1 } else { 3 };
    let shape = Image::shape(path, channels, height, width)?;
    let mut all = vec![0; height * width * stored];
    reader.next_frame(&mut all).map_err(malformed)?;
    reader.finish().map_err(malformed)?;
    let pixels = match stored == channels {
        true => all,
        false => all.chunks_exact(stored).flat_map(|pixel| &pixel[..channels]).copied().collect(),
    };
    Ok(Image { shape, pixels })
}

/// Grey or colours. The decoder runs without vector code, whose rounding would
/// depend on the machine.
fn jpeg(path: &Path, bytes: Vec<u8>) -> Result<Image, Error> {
    let malformed = |error: zune_jpeg::errors::DecodeErrors| {
        let reason = error.to_string();
        Error::Malformed { path: path.to_owned(), reason }
    };
    let options = DecoderOptions::new_safe()
        .set_max_width(SIDE_MAX)
        .set_max_height(SIDE_MAX)
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(&bytes), options);
    decoder.decode_headers().map_err(malformed)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let info = decoder.info().ok_or_else(|| Error::Malformed {
        path: path.to_owned(),
        reason: "there is no image in it".into(),
    })?;
    let channels = if grey { 1 } else { 3 };
    let shape = Image::shape(path, channels, info.height.into(), info.width.into())?;
    let colours = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = options.jpeg_set_out_colorspace(colours);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(&bytes), options);
    let pixels = decoder.decode().map_err(malformed)?;
    let expected: usize = shape.iter().product();
    if pixels.len() != expected {
        let (expected, got) = (expected as u64, pixels.len() as u64);
        return Err(Error::Truncated { path: path.to_owned(), expected, got });
    }
    Ok(Image { shape, pixels })
}

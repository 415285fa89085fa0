//! What must hold for any bytes at all. The fuzz targets search for bytes for
//! which it does not; an ordinary test runs it on those that were found.

use fedwasm_artifact::Component;
use fedwasm_dataset::{Dataset, Format};
use fedwasm_params::{from_safetensors, mpk, to_safetensors};
use fedwasm_protocol::{Message, Sealed};

/// Runs the check of this name.
pub fn check(name: &str, bytes: &[u8]) {
    match name {
        "admission" => admission(bytes),
        "mpk" => parameters(bytes),
        "messages" => messages(bytes),
        "csv" => csv(bytes),
        other => panic!("no check is called {other}"),
    }
}

/// A component is admitted or refused; what is admitted can be inspected, and
/// keeps its bytes.
pub fn admission(bytes: &[u8]) {
    match Component::admit(bytes.to_vec()) {
        Ok(component) => {
            assert_eq!(component.bytes(), bytes);
            let inspection = component.inspect();
            assert_eq!(inspection.size, bytes.len() as u64);
        }
        Err(error) => assert_printable(&error.to_string()),
    }
}

/// Parameters are read or refused; what is read is written and read again to
/// the same.
pub fn parameters(bytes: &[u8]) {
    if let Ok(value) = mpk::decode(bytes) {
        let written = mpk::encode(&value).expect("what was read can be written");
        // NaNs are not equal to themselves: bytes are.
        let again = mpk::decode(&written).expect("what was written can be read");
        assert_eq!(mpk::encode(&again).expect("again"), written);
    }
    if let Ok(params) = mpk::read_params(bytes) {
        let written = mpk::write_params("researcher", &params).expect("written");
        assert_eq!(mpk::read_params(&written).expect("read"), params);
    }
    if let Ok(params) = from_safetensors(bytes) {
        let written = to_safetensors(&params).expect("written");
        // Its order is the writer's own.
        let again = from_safetensors(&written).expect("read");
        assert_eq!(to_safetensors(&again).expect("again"), written);
    }
}

/// A message is taken apart or refused, by itself or as one of its parts; what
/// is read is written and read again. Signatures are not checked: what comes
/// after them must hold for any participant.
pub fn messages(bytes: &[u8]) {
    let read = |sealed: Sealed| -> Result<Message, _> {
        let header = sealed.header()?;
        sealed.open(header)
    };
    match Sealed::decode(bytes).and_then(read) {
        Ok(message) => {
            // What was read may be larger when all its names are written out.
            if let (Ok(header), Ok(body)) = (message.header.encode(), message.body.encode()) {
                let mut again = message.header.clone();
                again.body = fedwasm_protocol::BlobRef::of(&body);
                let header = again.encode().unwrap_or(header);
                let sealed = Sealed { header, body, signature: Vec::new() };
                assert_eq!(read(sealed).expect("what was written can be read").header, again);
            }
        }
        Err(error) => assert_printable(&error.to_string()),
    }
    // The same bytes as a body of its own, whose digest nobody could guess otherwise.
    if let Ok(body) = fedwasm_protocol::Body::decode(bytes)
        && let Ok(written) = body.encode()
    {
        let again = fedwasm_protocol::Body::decode(&written).expect("read again");
        assert_eq!(again.encode().expect("again"), written);
    }
}

/// A table is read or refused; it has as many rows as are counted, and only
/// finite numbers.
pub fn csv(bytes: &[u8]) {
    let path = std::env::temp_dir().join(format!("fedwasm-fuzz-{}.csv", std::process::id()));
    std::fs::write(&path, bytes).expect("a scratch file");
    if let Ok(dataset) = Dataset::open(&path, Some(Format::Csv)) {
        let fields: Vec<usize> = (0..dataset.fields().len()).collect();
        for block in 0..dataset.n_blocks() {
            let rows = dataset.rows(block);
            let Ok(read) = dataset.read(block, &fields) else { break };
            assert_eq!(read.n_rows as u64, rows.end - rows.start);
            for (values, field) in read.columns.iter().zip(dataset.fields()) {
                assert_eq!(values.len(), read.n_rows * field.width());
                values.each(0..values.len(), |value| assert!((value as f32).is_finite()));
            }
        }
    }
    std::fs::remove_file(&path).expect("a scratch file");
}

/// No byte of a stranger commands the terminal of whoever reads an error.
fn assert_printable(text: &str) {
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

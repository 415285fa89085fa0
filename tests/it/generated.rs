//! Hostile guests that are made, not written: one file each in
//! `tests/guests/generated`, with how it ends and how it is made of the bytes
//! of a good plan.

/// Name, end, and how it is made.
type Made = (&'static str, &'static str, fn(&[u8]) -> Vec<u8>);

macro_rules! generated {
    ($($name:ident = $path:literal)*) => {
        $(
            #[path = $path]
            mod $name;
        )*
        pub const ALL: &[Made] = &[$((stringify!($name), $name::ENDS, $name::bytes)),*];
    };
}

generated! {
    bit_flipped = "../guests/generated/bit_flipped.rs"
    compile_bomb = "../guests/generated/compile_bomb.rs"
    core_module = "../guests/generated/core_module.rs"
    dear_types = "../guests/generated/dear_types.rs"
    deep_types = "../guests/generated/deep_types.rs"
    empty = "../guests/generated/empty.rs"
    long_name = "../guests/generated/long_name.rs"
    many_functions = "../guests/generated/many_functions.rs"
    many_imports = "../guests/generated/many_imports.rs"
    many_modules = "../guests/generated/many_modules.rs"
    many_sections = "../guests/generated/many_sections.rs"
    many_types = "../guests/generated/many_types.rs"
    native_code = "../guests/generated/native_code.rs"
    nested_deep = "../guests/generated/nested_deep.rs"
    oversize = "../guests/generated/oversize.rs"
    text = "../guests/generated/text.rs"
    trailing_garbage = "../guests/generated/trailing_garbage.rs"
    truncated = "../guests/generated/truncated.rs"
    truncated_by_one = "../guests/generated/truncated_by_one.rs"
}

#[test]
fn every_file_is_listed() {
    let dir = crate::support::root().join("tests/guests/generated");
    let mut files: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    let listed: Vec<&str> = ALL.iter().map(|(name, ..)| *name).collect();
    assert_eq!(files, listed);
}

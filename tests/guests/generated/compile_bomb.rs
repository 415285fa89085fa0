//! One function of seven megabytes, as large as functions get: compiling it
//! takes longer than is granted.
use super::super::hostile::with_module_field;

pub const ENDS: &str = "describe DeadlineExceeded | describe OutOfMemory";

pub fn bytes(_: &[u8]) -> Vec<u8> {
    // Every value stays alive to the end, in a web of branches.
    let mut body = String::from("(func $bomb (param i32) (result i32)\n");
    (0..1_500).for_each(|n| body.push_str(&format!("(local $v{n} i32)\n")));
    for n in 0..120_000 {
        let (a, b, c) = (n % 1_500, (n * 7 + 3) % 1_500, (n * 31 + 11) % 1_500);
        body.push_str(&format!(
            "(block (br_if 0 (i32.eqz (local.get $v{a}))) (local.set $v{c} (i32.add (local.get $v{a}) (local.get $v{b}))))\n"
        ));
    }
    body.push_str("(local.get $v0))");
    with_module_field(&body)
}

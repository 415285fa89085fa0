//! As many instances of as large a type as are admitted: what validating
//! costs grows with the product.
pub const ENDS: &str = "admission ForbiddenImport";

fn leb(mut n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        bytes.push((n & 0x7f) as u8 | if n > 0x7f { 0x80 } else { 0 });
        n >>= 7;
        if n == 0 {
            return bytes;
        }
    }
}

fn section(id: u8, body: Vec<u8>) -> Vec<u8> {
    [vec![id], leb(body.len()), body].concat()
}

pub fn bytes(_: &[u8]) -> Vec<u8> {
    let n_exports = fedwasm_artifact::TYPES_MAX as usize - 10;
    let n_instances = fedwasm_artifact::INSTANCES_MAX as usize;
    let name = |name: &str| [leb(name.len()), name.as_bytes().to_vec()].concat();
    let export = |n| [vec![4, 0], name(&format!("a{n}")), vec![1, 0]].concat();
    // (instance (type (func)) (export "a0" (func (type 0))) ...)
    let exports: Vec<u8> = (0..n_exports).flat_map(export).collect();
    let instance = [vec![0x42], leb(n_exports + 1), vec![1, 0x40, 0, 1, 0], exports].concat();
    // (component (alias outer 1 0 (type)) (import "i" (instance (type 0))) (export "o" ...))
    let (i, o) = ([vec![3, 0], name("i"), vec![5, 0]], [vec![4, 0], name("o"), vec![5, 0]]);
    let component = [vec![0x41, 3, 2, 3, 2, 1, 0], i.concat(), o.concat()].concat();
    let imports = [vec![2, 0], name("x"), vec![5, 0, 0], name("c"), vec![4, 1]].concat();
    // (instance (instantiate 0 (with "i" (instance 0)))) ...
    let with = [vec![0, 0, 1], name("i"), vec![5, 0]].concat();
    let instances = [leb(n_instances), with.repeat(n_instances)].concat();
    [
        b"\0asm\x0d\0\x01\0".to_vec(),
        section(7, [vec![2], instance, component].concat()),
        section(10, imports),
        section(5, instances),
    ]
    .concat()
}

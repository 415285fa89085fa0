//! Version 0.1 of the contract, `wit/released/0.1.0`.
#![allow(missing_docs, unreachable_pub, reason = "the bindings are generated")]

super::version::version!("../../wit/released/0.1.0");

/// Offers plans the imports of this version.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> Result<()> {
    add_common(linker)
}

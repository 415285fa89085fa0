//! Version 0.2 of the contract, `wit`: 0.1 and the interface `compute`.
#![allow(missing_docs, unreachable_pub, reason = "the bindings are generated")]

mod compute;

super::version::version!("../../wit");

/// Offers plans the imports of this version.
pub(super) fn add_to_linker(linker: &mut Linker<Host>) -> Result<()> {
    add_common(linker)?;
    compute::add_to_linker(linker)
}

//! Capabilities: all of them go, in every set, as far as the process may take them from itself.

use nix::errno::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities,
};

/// Gives up every capability.
pub(super) fn drop_all() -> Result<(), Errno> {
    let errno = |error: rustix::io::Errno| Errno::from_raw(error.raw_os_error());
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // Only who has CAP_SETPCAP may; without new privileges the set decides nothing any more. A kernel does not
            // know capabilities that are younger than itself.
            Ok(()) | Err(rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => {}
            Err(error) => return Err(errno(error)),
        }
    }
    clear_ambient_capability_set().map_err(errno)?;
    let has = capabilities(None).map_err(errno)?;
    if (has.effective | has.permitted | has.inheritable).is_empty() {
        // A service manager that gave none may refuse this call as well.
        return Ok(());
    }
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none }).map_err(errno)
}

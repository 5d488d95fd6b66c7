//! What the rules need to know of the machine.

use std::str::FromStr;

use casemate_protocol::tuf::time::UtcTime;

use super::FAMILIES;

/// The machine, as far as rules depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// User id of the agent: only its sockets reach peers. None = nobody does.
    pub agent: Option<u32>,
    /// Network devices whose frames are judged as well; none where the kernel has no hook for them.
    pub devices: Option<Vec<Device>>,
    /// When what is beyond the policy is logged and let through.
    pub observe: Option<Observe>,
}

impl Host {
    pub(super) fn families(&self) -> impl Iterator<Item = &'static str> {
        FAMILIES.into_iter().filter(|family| *family != "netdev" || self.devices.is_some())
    }
}

/// A span of the wall clock. The kernel looks at it with every packet: nothing has to run when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observe {
    /// A clock that stands earlier is wrong: signed time says so.
    pub from: UtcTime,
    /// The policy's `observe_until`.
    pub until: UtcTime,
}

/// The name of a network device, in characters that mean nothing to `nft`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device(String);

impl Device {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
        // IFNAMSIZ is 16, with the zero that ends the name.
        if (1..16).contains(&text.len()) && text.bytes().all(plain) {
            return Ok(Self(text.into()));
        }
        Err(DeviceError(text.chars().take(16).collect()))
    }
}

/// A device whose name cannot stand in a rule.
#[derive(Debug, thiserror::Error)]
#[error("the network device {0:?} has a name of unusual characters")]
pub struct DeviceError(String);

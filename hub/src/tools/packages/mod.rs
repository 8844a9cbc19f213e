//! Packages of child agents: what `Stint-ConfigureAgent` installs by name.
//!
//! The operator puts files in with `stint-hub package`; nodes get links to them in their jobs. The
//! bytes are kept and served as those of attachments are.
//!
//! Never here: what a package has inside. The node unpacks it.

mod choose;
mod store;
mod version;

pub use choose::{Choice, choose, exists};
pub use store::{Package, delete, list, put};

/// The architecture of a package that runs on all.
pub const ANY: &str = "any";

/// An architecture in the one spelling that the store uses; kernels, distributions and compilers
/// have several for most.
pub fn arch(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let known = match name.as_str() {
        "amd64" | "x64" => "x86_64",
        "i386" | "i486" | "i586" | "i686" | "x86" => "i686",
        "arm64" | "armv8" | "armv8l" => "aarch64",
        "armhf" | "armv7l" | "armv7hf" => "armv7",
        "armel" | "armv5" | "armv5te" | "armv5tel" | "armv5tejl" => "armv5te",
        "armv6l" | "armv6hf" => "armv6",
        "mips64el" | "mips64le" => "mips64el",
        "mipsle" | "mipselr2" => "mipsel",
        "riscv64gc" => "riscv64",
        "all" | "noarch" | "any" | "" => ANY,
        _ => return name,
    };
    known.to_owned()
}

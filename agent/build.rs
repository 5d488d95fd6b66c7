//! How the released program is linked: what a daemon runs from its start until it is idle stands together.
//!
//! The kernel maps a program in blocks of 64 KiB around whatever is run, and unordered code leaves something in nearly
//! every block. A debug build has too many sections for that to be quick, and nobody counts its pages.

#[expect(clippy::disallowed_methods, reason = "this is how cargo tells a build script about the build")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=layout.ld");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}/layout.ld", env!("CARGO_MANIFEST_DIR"));
        // Addresses to be corrected at the start in a bit each rather than 24 bytes; glibc 2.36 and later.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

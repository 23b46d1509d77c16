//! The page is embedded; a new file of it is noticed.

fn main() {
    println!("cargo:rerun-if-changed=ui");
}
